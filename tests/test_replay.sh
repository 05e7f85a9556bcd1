#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_replay.sh QUIRE
# `quire replay`: the recordings agree with Quire in every mode; a recording that was tampered with doesn't, and the right
# line is blamed; broken and hostile files end in one line and status 2, or are played within bounds.
set -eu

quire=$(realpath "$1")
data=$(realpath "$(dirname "$0")/data")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
cd "$dir"

exec python3 - "$quire" "$data" <<'PYTHON'
import glob, gzip, json, os, re, subprocess, sys

quire, data = sys.argv[1:]
checks = 0
HEADER = '# trace test v2: t_ns pid tid cpu op args'


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        print('test_replay:', *what, file=sys.stderr)
        sys.exit(1)


def run(path, *options):
    p = subprocess.run([quire, 'replay', *options, path], capture_output=True, timeout=120)
    check(p.returncode in (0, 1, 2), path, options, 'status', p.returncode, p.stderr)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def play(path, *options):
    code, out, err = run(path, '--json', *options)
    check(code != 2, path, options, 'is refused:', err)
    return code, json.loads(out)


def write(lines, name='t'):
    with open(name, 'w') as f:
        f.write('\n'.join(lines) + '\n')
    return name


def agrees(what, lines, *options):
    code, r = play(write([HEADER] + lines), *options)
    check(code == 0 and r['disagreements'] == 0 and not r['leaked'] and r['validator'] is None, what, r)
    return r


def blames(what, lines, line, *options):
    """The first disagreement is with this line of `lines` (from 1)."""
    code, r = play(write([HEADER] + lines), *options)
    check(code == 1 and r['disagreements'] > 0, what, 'went unnoticed', r)
    check(r['shown'][0]['line'] == line + 1, what, 'is blamed on', r['shown'])
    return r


def refused(what, path, *options):
    code, out, err = run(path, *options)
    check(code == 2 and out == '' and err.count('\n') == 1, what, code, out, err)


def recordings():
    paths = sorted(glob.glob(data + '/*.gz'))
    check(len(paths) >= 3, 'no recordings in', data)
    for path in paths:
        text = gzip.open(path, 'rt').read().splitlines()
        ops = [l.split(' ')[4] for l in text if not l.startswith('#')]
        faults = ops.count('F') + ops.count('K')
        for options in ([], ['--mode', 'vma-lock'], ['--mode', 'classic'], ['--cpus', '1'], ['--cpus', '9'], ['--levels', '5']):
            code, r = play(path, *options)
            check(code == 0 and r['disagreements'] == 0 and r['shown'] == [], path, options, r)
            check(r['validator'] is None and r['leaked'] == 0 and r['lost'] == 0, path, options, r)
            check(r['compared'] > 0 and r['entries_compared'] > 0 and r['seconds'] > 0, path, r)
            check(r['faults'] <= faults <= r['faults'] + r['unexplained'], path, r)
            check(r['unexplained'] <= len(ops) * 0.04, path, 'unexplained', r['unexplained'])
            if r['version'] == 2:
                check(r['layouts_compared'] > 0, path, 'no final layout')
                check(r['files'] > 0 and r['file_faults'] > 0 and r['contents_compared'] > 0, path, 'no files', r)
            else:
                check(r['layouts_compared'] == 0, path)
            mode = options[1] if options[:1] == ['--mode'] else 'speculative'
            ways = {'speculative': r['speculative'], 'vma-lock': r['vma_lock'], 'classic': r['classic_faults']}
            check(r['mode'] == mode and ways[mode] >= 0.9 * sum(ways.values()), path, mode, ways)
            check(set(r['retries']) == {'vma_changed', 'table_changed', 'entry_changed', 'entry_busy', 'page_changed', 'page_waits'},
                  r['retries'])
        code, r = play(path, '--no-check')
        check(code == 0 and r['compared'] == 0 and r['faults'] > 0, path, '--no-check', r)
        code, out, err = run(path)
        check(code == 0 and 'disagreements 0' in out and err == '', path, out, err)


# One program's life, of which the other tests change a line.
LIFE = [
    '0 7 7 0 E life',                                              # 1
    '0 7 7 0 V 400000 401000 r-xp 0 5 /bin/life',                  # 2
    '0 7 7 0 V 7ffe00000000 7ffe00021000 rw-p 0 0 [stack]',        # 3
    '0 7 7 0 V ffffffffff600000 ffffffffff601000 --xp 0 0 [vsyscall]',
    '10 7 7 0 B 1 0 = 600000',                                     # 5
    '20 7 7 0 B 1 604000 = 604000',
    '30 7 7 0 F 601000 6',
    '40 7 7 0 M 1 0 8000 3 22 ffffffff 0 = 7f0000000000',          # 8
    '50 7 7 0 F 7f0000000000 4',                                   # 9
    '60 7 7 0 F 7f0000000000 7',                                   # 10
    '70 7 7 0 F 7f0000001000 6',
    '80 7 7 0 P 1 7f0000002000 1000 1 = 0',                        # 12
    '90 7 7 0 F 7f0000002000 4',
    '100 7 7 0 F 7f0000002000 7',                                  # 14: not allowed
    '110 7 7 0 U 1 7f0000004000 2000 = 0',                         # 15
    '120 7 7 0 F 7f0000004000 6',                                  # 16: nothing there
    '130 7 7 0 A 1 7f0000001000 1000 4 = 0',
    '140 7 7 0 F 7f0000001000 6',                                  # 18
    '150 7 7 0 R 1 7f0000006000 2000 4000 1 0 = 7f0000100000',     # 19
    '160 7 7 0 P 1 7f0000004000 1000 3 = -c',                      # 20
    '170 7 7 0 U 1 7f0000000001 1000 = -16',                       # 21
    '180 7 7 0 M 1 7f0000000000 1000 3 100022 ffffffff 0 = -11',   # 22
    '190 7 7 0 F 7ffdffffe000 6',                                  # 23: the stack grows
    '200 7 7 0 M 1 0 1000 1 2 3 0 = 7f0000200000',                 # 24: a file
    '210 7 7 0 M 1 0 1000 3 1 3 0 = 7f0000201000',                 # 25: shared
    '220 7 7 0 M 1 0 1000 3 2 9 0 = -9',                           # 26: a bad descriptor
    '230 7 7 0 Z 400000 401000 r-xp 0 5 /bin/life',                # 27
    '230 7 7 0 Z 600000 604000 rw-p 0 0 [heap]',
    '230 7 7 0 Z 7f0000000000 7f0000002000 rw-p 0 0',
    '230 7 7 0 Z 7f0000002000 7f0000003000 r--p 0 0',              # 30
    '230 7 7 0 Z 7f0000003000 7f0000004000 rw-p 0 0',
    '230 7 7 0 Z 7f0000100000 7f0000104000 rw-p 0 0',
    '230 7 7 0 Z 7f0000200000 7f0000201000 r--p 0 9 /etc/file',    # 33
    '230 7 7 0 Z 7f0000201000 7f0000202000 rw-s 0 9 /etc/file',
    '230 7 7 0 Z 7ffdffffe000 7ffe00021000 rw-p 0 0 [stack]',
    '240 7 7 0 X',
]


def altered(number, *lines):
    return LIFE[:number - 1] + list(lines) + LIFE[number:]


def tampering():
    r = agrees('the life', LIFE)
    check(r['calls'] == 14 and r['faults'] == 9, r)
    check(r['unreplayable'] == 2 and r['unexplained'] == 0 and r['layouts_compared'] == 1, r)
    check(r['counters']['stack_growths'] == 1 and r['classic']['no_vma'] == 1 and r['classic']['no_access'] == 1, r)

    blames('a page that was there', altered(7, '30 7 7 0 F 601000 7'), 7)
    blames('a page that was not there', altered(10, '60 7 7 0 F 7f0000000000 6'), 10)
    blames('a heap elsewhere', altered(6, '20 7 7 0 B 1 604000 = 605000'), 6)
    blames('a successful mprotect of nothing', altered(20, '160 7 7 0 P 1 7f0000004000 1000 3 = 0'), 20)
    blames('another error', altered(21, '170 7 7 0 U 1 7f0000000001 1000 = 0'), 21)
    blames('a success where something is', altered(22, '180 7 7 0 M 1 7f0000000000 1000 3 100022 ffffffff 0 = 7f0000000000'), 22)
    blames('a placed mapping where something is', altered(24, '200 7 7 0 M 1 0 1000 1 2 3 0 = 7f0000001000'), 24)
    blames('a missing munmap', altered(15), 26)
    blames('another layout', altered(30, '230 7 7 0 Z 7f0000002000 7f0000003000 rw-p 0 0'), 27)
    blames('another range', altered(32, '230 7 7 0 Z 7f0000100000 7f0000105000 rw-p 0 0'), 27)
    blames('private, not shared', altered(34, '230 7 7 0 Z 7f0000201000 7f0000202000 rw-p 0 9 /etc/file'), 27)
    code, r = play(write([HEADER] + altered(10, '60 7 7 0 F 7f0000000000 6')), '--no-check')
    check(code == 0, '--no-check compares')

    # Without error codes the entries are not compared, and the rights guess the access.
    r = agrees('no error codes', [' '.join(l.split(' ')[:-1] + ['-']) if ' F ' in l else l for l in LIFE[:13] + LIFE[14:]])
    check(r['entries_compared'] == 0 and r['faults'] == 8, r)

    # Neighbours that Linux keeps apart are no difference.
    agrees('split lines', altered(29, '230 7 7 0 Z 7f0000000000 7f0000001000 rw-p 0 0 [anon:a]',
                                  '230 7 7 0 Z 7f0000001000 7f0000002000 rw-p 0 0'))
    # Twenty are shown, all are counted.
    many = altered(7, *['%d 7 7 0 F %x 7' % (30, 0x600000 + 0x1000 * (i % 4)) for i in range(4)] +
                   ['%d 7 7 0 B 1 0 = 1000' % 31 for i in range(50)])
    r = blames('many', many, 7)
    check(r['disagreements'] == 54 and len(r['shown']) == 20, r)
    check([d['line'] for d in r['shown']] == list(range(8, 28)), r)


def text_of(path):
    """A file that is mapped, with an inode, and its lines for a trace."""
    st = os.stat(path)
    return '%x:%d' % (st.st_dev, st.st_ino), '%x' % st.st_size, os.path.abspath(path), st.st_ino


def real_files():
    with open('file', 'wb') as f:
        f.write(os.urandom(5 * 4096 + 100))
    os.rename('file', 'a file\nwith a break')
    number, size, name, inode = text_of('a file\nwith a break')
    name = name.replace('\n', '\\012')
    start = ['0 7 7 0 E files', '0 7 7 0 V 400000 401000 r-xp 0 0']
    opened = '10 7 7 0 O 3 %s %s %s' % (number, size, name)
    lines = start + [opened, '10 7 7 0 M 1 0 8000 3 2 3 1000 = 7f0000000000'] # 4
    lines += ['20 7 7 0 F %x 4' % (0x7f0000000000 + 4096 * i) for i in range(5)] # 5 to 9
    lines += ['30 7 7 0 F 7f0000001000 7', '30 7 7 0 F 7f0000004000 7', # the last is in part beyond the end
              '40 7 7 0 F 7f0000005000 4', '40 7 7 0 F 7f0000006123 6', # 12, 13: all of it
              '50 7 7 0 R 1 7f0000001000 3000 3000 3 7f0000100000 = 7f0000100000', '60 7 7 0 F 7f0000102000 4', # 15
              '70 7 7 0 Z 400000 401000 r-xp 0 0', '70 7 7 0 Z 7f0000000000 7f0000001000 rw-p 1000 %d %s' % (inode, name), # 17
              '70 7 7 0 Z 7f0000004000 7f0000008000 rw-p 5000 %d %s' % (inode, name),
              '70 7 7 0 Z 7f0000100000 7f0000103000 rw-p 2000 %d %s (deleted)' % (inode, name)] # 19
    for options in ([], ['--mode', 'vma-lock'], ['--mode', 'classic'], ['--strict', '--levels', '5']):
        r = agrees('a file', lines, *options)
        check((r['files'], r['stand_ins'], r['file_troubles']) == (1, 0, []), r)
        check(r['contents_compared'] == 8 and r['file_faults'] >= 3 and r['paths']['classic']['verdict'] == 2, r)
        if options[:1] != ['--mode']:
            check(r['classic']['beyond_end'] == 2 and r['file_faults_speculative'] == r['file_faults'], r)

    def changed(number, old, new):
        check(lines[number - 1].count(old) == 1, lines[number - 1])
        return lines[:number - 1] + [lines[number - 1].replace(old, new)] + lines[number:]

    r = blames('another offset', changed(17, ' 1000 ', ' 2000 '), 16)
    check(' rw-p 1000 %d ' % inode in r['shown'][0]['text'] and ' rw-p 2000 %d ' % inode in r['shown'][0]['text'], r)
    blames('an offset that did not move along', changed(19, ' 2000 ', ' 1000 '), 16)
    blames('another inode', changed(17, str(inode), str(inode + 1)), 16)
    blames('no file', changed(17, ' 1000 %d %s' % (inode, name), ' 0 0'), 16)
    blames('a file, not memory', changed(16, ' 0 0', ' 0 %d %s' % (inode, name)), 16)
    agrees('another name', changed(17, name, name + '.old'))

    # What is not the same file is not opened; a stand-in takes its place.
    os.mkfifo('fifo')
    os.mkdir('directory')
    fifo, directory = text_of('fifo'), text_of('directory')
    for what, why, line in (
            ('another size', 'has another size', '10 7 7 0 O 3 %s %x %s' % (number, int(size, 16) + 1, name)),
            ('another inode', 'is another file', '10 7 7 0 O 3 %s1 %s %s' % (number, size, name)),
            ('another device', 'is another file', '10 7 7 0 O 3 1%s %s %s' % (number, size, name)),
            ('no file', 'is not there', '10 7 7 0 O 3 %s %s %s (deleted)' % (number, size, name)),
            ('a fifo', 'is no regular file', '10 7 7 0 O 3 %s %s %s' % (fifo[0], size, fifo[2])),
            ('a directory', 'is no regular file', '10 7 7 0 O 3 %s %s %s' % (directory[0], size, directory[2]))):
        stand_in = lines[:2] + [line] + lines[3:15] + ['80 7 7 0 X']
        r = agrees(what, stand_in)
        check(r['stand_ins'] == 1 and r['file_troubles'][0]['why'] == why and r['contents_compared'] == 8, what, r)
        code, r = play('t', '--strict')
        check(code == 1 and r['disagreements'] == 0, what, '--strict', r)
        code, out, err = run('t')
        check(code == 0 and re.search(r'\n  /.* %s\n' % why, out), what, out)
    # Devices and the like are no files. Nor is what was opened and never mapped, or mapped before by this descriptor.
    for name in '/dev/zero', '/proc/self/mem', '/sys/x', 'anon_inode:[x]':
        r = agrees(name, start + ['10 7 7 0 O 3 5:5 0 ' + name, '10 7 7 0 M 1 0 8000 3 1 3 1000 = 7f0000000000', '20 7 7 0 F 7f0000000000 6'])
        check(r['files'] == 0, name, r)
    r = agrees('unmapped', start + [opened, '20 7 7 0 M 1 0 8000 3 2 4 1000 = 7f0000000000', '20 7 7 0 F 7f0000007000 6'])
    check(r['files'] == 0 and r['contents_compared'] == 0, r)


def shared_files():
    with open('shared', 'wb') as f:
        f.write(os.urandom(6 * 4096 + 5))
    number, size, name, inode = text_of('shared')
    before = os.stat('shared').st_mtime_ns, open('shared', 'rb').read()
    start = ['0 7 7 0 E shared', '0 7 7 0 V 400000 401000 r-xp 0 0', '10 7 7 0 O 3 %s %s %s' % (number, size, name)]
    mapped = ['10 7 7 0 M 1 0 7000 3 1 3 0 = 7f0000000000', '11 7 7 0 O 4 %s %s %s' % (number, size, name),
              '11 7 7 0 M 1 0 7000 1 2 4 0 = 7f0000100000']
    written = ['20 7 7 0 F %x 6' % (0x7f0000000000 + 4096 * i) for i in range(7)] + ['21 7 7 0 F 7f0000103000 4']
    synced = ['30 7 7 0 S 1 7f0000000000 7000 4 = 0', '31 7 7 0 F 7f0000000000 7', '32 7 7 0 S 1 7f0000006000 2000 4 = -c', # 15
              '33 7 7 0 S 1 7f0000000001 2000 4 = -16', '34 7 7 0 S 1 7f0000000000 1000 5 = -16'] # 17
    final = ['40 7 7 0 Z 400000 401000 r-xp 0 0', '40 7 7 0 Z 7f0000000000 7f0000007000 rw-s 0 %d %s' % (inode, name),
             '40 7 7 0 Z 7f0000100000 7f0000107000 r--p 0 %d %s' % (inode, name)]
    for mode in 'speculative', 'vma-lock', 'classic':
        r = agrees('a shared file', start + mapped + written + synced + final, '--strict', '--mode', mode)
        check(r['contents_compared'] == 9 and sum(p['object_write'] for p in r['paths'].values()) == 8, r)
    blames('a successful msync of nothing', start + mapped + written + synced[:2] + ['32 7 7 0 S 1 7f0000007000 2000 4 = 0'], 17)
    blames('not shared', start + mapped + final[:1] + [final[1].replace('rw-s', 'rw-p')] + final[2:], 7)
    # A stand-in, too, and one that is opened for reading and made writable later.
    agrees('a stand-in', [l.replace(name, '/no/' + 'x' * 300) for l in start + mapped + written + synced + final])
    agrees('writable later', start + [mapped[0].replace(' 3 1 3 0', ' 1 1 3 0'), '12 7 7 0 P 1 7f0000000000 7000 3 = 0'] + written[:7], '--strict')
    check(before == (os.stat('shared').st_mtime_ns, open('shared', 'rb').read()), 'the replay has changed a file')

    # Sizes that change: what is cut off is gone, from private copies too, and comes back as zero.
    def at(size, t=25):
        return '%d 7 7 0 O 3 %s %x %s' % (t, number, size, name)
    sizes = ['20 7 7 0 F 7f0000005000 6', '20 7 7 0 F 7f0000104000 4', at(0x2000), '26 7 7 0 F 7f0000005000 6',
             '26 7 7 0 F 7f0000001000 6', '26 7 7 0 F 7f0000104000 4', at(0x9000, 27), '28 7 7 0 F 7f0000005000 6',
             '28 7 7 0 F 7f0000104000 4', '29 7 7 0 C 8 1200011', '30 8 8 0 F 7f0000104000 4', '31 8 8 0 F 7f0000000000 4',
             at(int(size, 16), 32)]
    r = agrees('sizes', start + mapped + sizes, '--strict')
    check(r['classic']['beyond_end'] == 2 and r['races'] == 1 and r['file_faults'] >= 5, r)
    # Another process maps the file when it is larger. Nobody knows when it got so, but pages that were always there are judged.
    r = agrees('others', start + mapped + ['20 7 7 0 C 8 1200011', '30 8 8 0 O 3 %s 9000 %s' % (number, name),
               '30 8 8 0 M 1 0 9000 3 1 3 0 = 7f0000200000', '40 8 8 0 F 7f0000207000 4', '41 8 8 0 F 7f0000208000 6',
               '42 7 7 0 F 7f0000005000 4', '43 8 8 0 F 7f0000209000 6'])
    check(r['races'] == 2 and r['file_troubles'][0]['why'] == 'has another size', r)

    # Shared memory of no file: a child has the same, a mremap can't make it larger.
    memory = start[:2] + ['10 7 7 0 M 1 0 4000 3 21 ffffffff 0 = 7f0000000000', '20 7 7 0 F 7f0000000000 6', '21 7 7 0 C 8 1200011',
              '22 8 8 0 F 7f0000000000 6', '22 8 8 0 F 7f0000001000 6', '23 7 7 0 F 7f0000001000 4',
              '30 7 7 0 R 1 7f0000001000 3000 6000 1 0 = 7f0000100000', '31 7 7 0 F 7f0000102000 6', '32 7 7 0 F 7f0000103000 6', # 11: beyond
              '40 7 7 0 Z 400000 401000 r-xp 0 0', '40 7 7 0 Z 7f0000000000 7f0000001000 rw-s 0 99 /dev/zero (deleted)',
              '40 7 7 0 Z 7f0000100000 7f0000106000 rw-s 1000 99 /dev/zero (deleted)']
    r = agrees('shared memory', memory)
    check(r['classic']['beyond_end'] == 1 and r['files'] == 0 and r['contents_compared'] == 5, r)
    blames('another offset in shared memory', memory[:-1] + [memory[-1].replace('1000 99', '2000 99')], 12)
    # Mistakes that Linux finds, too.
    for result, change in ((-22, ('7000 3 1 3 0', '7000 3 1 3 1')), (-22, ('0 7000 3', '0 0 3')), (-75, ('3 1 3 0', '3 1 3 fffffffffffff000'))):
        line = mapped[0].replace(*change)
        agrees(line, start + [line.split('=')[0] + '= -%x' % -result])
        blames(line, start + [line.split('=')[0] + '= -%x' % (97 + result)], 4)


def order():
    start = ['0 7 7 0 E order', '0 7 7 0 V 400000 401000 r-xp 0 5 /bin/order', '1 7 7 0 C 8 10f00', '2 7 7 0 C 9 10f00']
    # The mapping takes the place of one whose munmap began before, and has not returned yet.
    for turn in range(20):
        agrees('reuse', start + ['10 7 8 0 M 5 0 4000 3 22 ffffffff 0 = 7f0000000000', '20 7 8 0 U 500 7f0000000000 4000 = 0',
                                 '30 7 9 1 M 5 0 4000 3 22 ffffffff 0 = 7f0000000000', '40 7 9 1 F 7f0000000000 6',
                                 '600 7 8 0 U 5 7f0000000000 4000 = 0', '601 7 8 0 X'])
        # Or the other way round in the file: the mapping waited for the munmap.
        agrees('waited', start + ['10 7 8 0 M 5 0 4000 3 22 ffffffff 0 = 7f0000000000', '20 7 9 0 M 500 0 4000 3 22 ffffffff 0 = 7f0000000000',
                                  '30 7 8 1 U 5 7f0000000000 4000 = 0', '540 7 9 1 F 7f0000000000 6'])
        # A task uses what another mapped before, and unmaps it when the other has used it.
        lines = []
        for i in range(200):
            t, a = 100 * i, 0x7f0000000000 + 0x10000 * (i % 3)
            lines += ['%d 7 8 0 M 5 0 4000 3 22 ffffffff 0 = %x' % (t + 10, a), '%d 7 9 1 F %x 6' % (t + 20, a),
                      '%d 7 8 0 F %x 6' % (t + 21, a + 0x1000), '%d 7 9 1 P 5 %x 1000 1 = 0' % (t + 30, a),
                      '%d 7 8 0 F %x 7' % (t + 40, a), '%d 7 7 0 U 5 %x 4000 = 0' % (t + 50, a), '%d 7 9 0 F %x 4' % (t + 60, a)]
        r = agrees('handing over', start + lines, '--cpus', str(1 + turn % 4))
        check(r['races'] == 0 and r['classic']['no_vma'] == 200, r)
    # A brk moves the break from where the last one left it, though their ranges may have nothing in common: the second
    # task's is not to overtake the first one's, which come after much work.
    work = ['%d 7 8 0 F %x 6' % (100 + i, 0x7f0000000000 + 0x1000 * i) for i in range(4000)]
    for turn in range(5):
        agrees('breaks', start + ['5 7 8 0 B 1 0 = 600000', '10 7 8 0 B 1 610000 = 610000', '20 7 8 0 M 5 0 1000000 3 22 ffffffff 0 = 7f0000000000']
               + work + ['10000 7 8 0 B 1 608000 = 608000', '10010 7 8 0 B 1 602000 = 602000', '10020 7 9 1 B 1 601000 = 601000',
                         '10030 7 8 0 B 1 0 = 601000', '10040 7 8 0 B 1 603000 = 603000', '10050 7 8 0 F 602000 6'])
    # A fault beside a call on its address is not judged; it is played.
    r = agrees('race', start + ['10 7 8 0 M 5 0 4000 3 22 ffffffff 0 = 7f0000000000', '20 7 8 0 U 100 7f0000000000 4000 = 0',
                                '30 7 9 1 F 7f0000000000 6', '40 7 9 1 F 7f0000001000 6'])
    check(r['races'] == 2 and r['faults'] == 2, r)


def processes():
    start = ['0 7 7 0 E sh', '0 7 7 0 V 400000 401000 rw-p 0 0', '10 7 7 0 F 400000 6']
    # The child has what the parent had, and their changes are their own.
    r = agrees('fork', start + ['20 7 7 0 C 8 1200011', '30 7 7 0 F 400000 7', '30 8 8 0 F 400000 7', '40 8 8 0 U 1 400000 1000 = 0',
                                '45 7 7 0 P 1 400000 1000 3 = 0', '60 8 8 0 M 1 400000 1000 1 32 ffffffff 0 = 400000', '70 8 8 0 Z 400000 401000 r--p 0 0', '80 8 8 0 X',
                                '90 7 7 0 Z 400000 401000 rw-p 0 0'])
    check(r['spaces'] == 3 and r['layouts_compared'] == 2, r)
    # A child that shares the space until it executes something else.
    r = agrees('vfork', start + ['20 7 7 0 C 8 4111', '30 8 8 0 M 1 0 1000 3 22 ffffffff 0 = 7f0000000000', '40 8 8 0 E ls',
                                 '40 8 8 0 V 400000 401000 r-xp 0 5 /bin/ls', '50 7 7 0 F 7f0000000000 6', '60 8 8 0 F 400000 14',
                                 '70 8 8 0 Z 400000 401000 r-xp 0 5 /bin/ls', '80 7 7 0 Z 400000 401000 rw-p 0 0',
                                 '80 7 7 0 Z 7f0000000000 7f0000001000 rw-p 0 0'])
    check(r['layouts_compared'] == 2, r)
    # What must not be inherited is not.
    agrees('dontfork', start + ['11 7 7 0 A 1 400000 1000 a = 0', '20 7 7 0 C 8 1200011', '30 8 8 0 F 400000 6',
                                '40 8 8 0 P 1 400000 1000 3 = -c', '50 8 8 0 X'])
    # A tid that is used again is another task.
    agrees('reused tid', start + sum([['%d 7 7 0 C 8 10f00' % t, '%d 7 8 0 M 1 0 1000 3 22 ffffffff 0 = 7f0000000000' % (t + 1),
                                       '%d 7 8 0 U 1 7f0000000000 1000 = 0' % (t + 3), '%d 7 8 0 X' % (t + 5)] for t in range(20, 200, 10)], []))
    # Version 1: memory that no line explains.
    write(['# trace old v1: t_ns pid tid cpu op args', '0 7 7 0 F 400000 4', '5 7 7 0 P 1 400000 1000 1 = 0', '10 7 7 0 B 1 0 = 600000',
           '20 7 7 0 B 1 601000 = 601000', '30 7 7 0 F 600000 6', '40 7 7 0 A 1 400000 1000 4 = 0'])
    code, r = play('t')
    check(code == 0 and r['unexplained'] == 3 and r['calls'] == 2 and r['faults'] == 1, r)


def bad_files():
    sample = sorted(glob.glob(data + '/*.gz'))[0]
    packed = open(sample, 'rb').read()
    for name, content in {
        'truncated': packed[:len(packed) // 2],
        'corrupted': packed[:200] + bytes(b ^ 0x55 for b in packed[200:260]) + packed[260:],
        'empty': b'',
        'binary': bytes(range(256)) * 40,
        'version': b'# trace x v9: t_ns pid tid cpu op args\n',
        'op': (HEADER + '\n0 1 1 0 Q 1\n').encode(),
        'fields': (HEADER + '\n0 1 1 0 M 1 0 1000\n').encode(),
        'backwards': (HEADER + '\n10 1 1 0 F 1000 4\n5 1 1 0 F 1000 4\n').encode(),
        'overflow': (HEADER + '\n0 1 1 0 F fffffffffffffffff 4\n').encode(),
        'tid': (HEADER + '\n0 1 99999999 0 F 1000 4\n').encode(),
        'long': (HEADER + '\n0 1 1 0 E ' + 'x' * 100000 + '\n').encode(),
    }.items():
        open(name, 'wb').write(content)
        refused(name, name)
    refused('no file', 'is-not-there')
    refused('a directory', '.')
    for options in (['--mode', 'fast'], ['--cpus', '0'], ['--cpus', '256'], ['--cpus', '-1'], ['--levels', '3'], ['--speed', 'slow'],
                    ['--memory', 'x'], ['--what'], ['one-more']):
        code, out, err = run('t', *options)
        check(code == 2 and out == '' and 'usage' in err, options, code, err)
    code, out, err = run('t', '--help')
    check(code == 0 and 'usage' in out and err == '', 'help')


def hostile():
    edge = ['0', '1', 'fff', '1000', '10000', '7fffffffe000', '7ffffffff000', '800000000000', 'fffffffffff000', 'fffffffffffff000',
            'ffffffffffffffff']
    lines = ['0 7 7 0 E edges', '0 7 7 0 V 400000 401000 r-xp 0 5 /bin/edges']
    for a in edge:
        for l in edge:
            for op in ('M 1000000000000000 %s %s 3 32 ffffffff 0 = %s' % (a, l, a if int(a, 16) < 2**63 else '-c'), 'U 1 %s %s = 0' % (a, l),
                       'P 1 %s %s ffffffffffffffff = -16' % (a, l), 'A 1 %s %s ffffffff = 0' % (a, l), 'L 1 %s %s = -c' % (a, l),
                       'R 1 %s %s %s 3 %s = -16' % (a, l, a, l), 'R 1 1000 %s %s 1 0 = %s' % (l, a, a if int(a, 16) < 2**63 else '-c'),
                       'B 1 %s = %s' % (a, l[-15:]), 'F %s 4' % a, 'F %s 7' % a):
                lines.append('%d 7 7 0 %s' % (len(lines), op))
    for n in edge:
        for m in edge:
            lines += ['%d 7 7 0 O 3 5:%d %s /no/file' % (len(lines) + i, int(n, 16) % 5, x) for i, x in enumerate((n, m))]
            lines += ['%d 7 7 0 %s' % (len(lines) + i, op) for i, op in enumerate((
                'M 1 0 10000 3 1 3 %s = 7e0000000000' % n, 'F 7e0000000000 6', 'S 1 7e0000000000 %s %s = 0' % (n, m),
                'M 1 0 %s 7 2 3 %s = 7e0000000000' % (n, m), 'R 1 7e0000000000 0 %s 3 7d0000000000 = 7d0000000000' % n,
                'F 7e0000000fff 7', 'M 1 0 %s 3 21 3 %s = 7c0000000000' % (n, m), 'F 7c0000001000 4', 'F 7d0000000000 4'))]
    for options in ([], ['--levels', '5', '--memory', '64']):
        write([HEADER] + lines)
        code, out, err = run('t', *options)
        check(code < 2 and 'validator' not in out and 'leaked' not in out, 'edges', out, err)

    # Forks without end, each of the one before.
    lines = ['0 7 7 0 E bomb', '0 7 7 0 V 400000 480000 rw-p 0 0']
    lines += ['1 7 7 0 F %x 6' % (0x400000 + 4096 * i) for i in range(128)]
    for i in range(3000):
        lines += ['%d %d %d 0 C %d 1200011' % (2 * i + 2, 7 + i, 7 + i, 8 + i), '%d %d %d 0 F 400000 7' % (2 * i + 3, 8 + i, 8 + i)]
    agrees('forks', lines)
    write([HEADER] + lines)
    code, r = play('t', '--memory', '16')
    check(r['validator'] is None and r['leaked'] == 0, 'forks in little memory', r)

    # Memory without end.
    lines = ['0 7 7 0 E greed', '0 7 7 0 V 400000 401000 r-xp 0 5 /bin/greed', '1 7 7 0 M 1 0 400000000000 3 8022 ffffffff 0 = 100000000000',
             '2 7 7 0 L 1 100000000000 400000000000 = 0', '3 7 7 0 A 1 100000000000 400000000000 17 = 0',
             '4 7 7 0 U 1 100000000000 400000000000 = 0']
    write([HEADER] + lines)
    code, r = play('t', '--memory', '64')
    check(code == 1 and r['validator'] is None and r['leaked'] == 0, 'greed', r)

    # Tasks without end: too many are refused, many are played.
    write(['# trace many v1: t_ns pid tid cpu op args'] + ['%d 7 %d 0 M 1 0 1000 3 22 ffffffff 0 = %x' % (i, i + 10, 0x10000000 + 4096 * i)
                                                           for i in range(70000)])
    refused('70,000 tasks', 't')
    write([HEADER] + ['%d 7 7 0 O 3 5:%d 1000 /no/file' % (i, i) for i in range(20000)])
    refused('20,000 files', 't')
    lines = ['0 7 7 0 E crowd', '0 7 7 0 V 400000 10400000 rw-p 0 0']
    lines += ['%d 7 7 0 C %d 10f00' % (i + 1, i + 10) for i in range(5000)]
    lines += ['%d 7 %d 0 F %x 6' % (6000 + i, 10 + i, 0x400000 + 4096 * i) for i in range(5000)]
    lines += ['%d 7 %d 0 P 100000 400000 %x 3 = 0' % (12000 + i, 10 + i, 0x1000 * (i + 1)) for i in range(0, 5000, 50)]
    agrees('5,000 tasks', lines)


recordings()
tampering()
real_files()
shared_files()
order()
processes()
bad_files()
hostile()
print('test_replay: %d checks passed' % checks)
PYTHON
