/* SPDX-License-Identifier: MIT */
/*
 * The sub-commands of `quire`. Each gets its own name as argv[0] and returns the exit status:
 * 0 well, 1 a finding (what that is, the command says), 2 bad usage or bad input.
 */
#ifndef QUIRE_TOOLS_COMMANDS_H
#define QUIRE_TOOLS_COMMANDS_H

int record_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int boot_main(int argc, char **argv);

#endif
