#pragma once
/* Commands of observa-load: each gets argv with the command's name first and returns the exit
 * status. */
int command_run(int argc, char *argv[]);
int command_serve(int argc, char *argv[]);
int command_compare(int argc, char *argv[]);
int command_check(int argc, char *argv[]);
