/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the child that becomes the command: its identity, its environment, its descriptors, and what its
 * end is in the words of the protocol.
 *
 * It leads a session and a process group of its own. Without a terminal its standard descriptors are three
 * pipes, not the ports, because a program may open /dev/stdout anew, and a port can be opened once only. With
 * one all three are the terminal, which controls the session.
 */
#ifndef RINGLET_GUEST_COMMAND_H
#define RINGLET_GUEST_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ringlet/guest_protocol.h"

struct account;
struct error;
struct settings;

/* Our ends of its descriptors; -1 where there is none. They do not block. */
struct command {
    pid_t pid; /* and its process group */
    int input, output, error;
    /*
     * With a terminal: `input` and `output` are its master, and so is `terminal`, for asking and telling it
     * things. The other side is held open as well, so that the terminal is not gone in a moment when no process
     * has it open.
     */
    int terminal, terminal_held;
};

/*
 * Start it. Returns 0 with *ret_command; 1 with *ret_exit when there is nothing that can be executed, or no such
 * working directory; -errno with *err for everything else. The caller's signal mask may be any; the child's is
 * empty. Waits for the child's execve().
 */
int command_start(const struct settings *settings, const struct account *account, struct command *ret_command,
                  struct guest_exit *ret_exit, struct error *err);

/*
 * The command's environment, ended by a NULL: the account's, and what the settings say over it. An array to be
 * freed; its strings too, but not those of the settings: command_environment_free(). NULL: no memory.
 */
char **command_environment(const struct settings *settings, const struct account *account);
void command_environment_free(char **environment, const struct settings *settings);

/* What waitpid() said. */
struct guest_exit command_exit_of_status(int status);

/* execve() failed with `error`; `searched`: `name` was looked for in PATH. */
struct guest_exit command_exit_of_failure(int error, bool searched);

/*
 * Pass a signal on: to its process group; with a terminal SIGINT, SIGQUIT and SIGTSTP to the group in the
 * foreground, as the terminal's keys would.
 */
void command_signal(const struct command *command, int number);

/* All processes of the command have ended: its terminal's other side is closed, so that reading it ends. */
void command_release_terminal(struct command *command);

/* Close both sides: to the processes that is a hang-up. Those who have `input` and `output` close them too. */
void command_hang_up(struct command *command);

/* The terminal's size; nothing without a terminal. */
void command_set_window(const struct command *command, uint16_t rows, uint16_t columns);

/*
 * What to type at the end of the input, for relay.tail; `argument` is the struct command. Where the terminal
 * gathers lines that is its end-of-file character, twice behind an unfinished line (the first then only ends the
 * line); where a program reads the keys one by one there is no such thing as an end, and it gets nothing.
 */
size_t command_input_tail(void *argument, unsigned char last, unsigned char tail[]);

#endif
