/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - lines on stderr for the person who started the VM.
 *
 * Only src/ (the wiring) logs; libraries report through their return values. Every line is
 * "ringlet: TEXT". The level is set once, before any thread starts. A line may wait a second for a reader of
 * stderr that is slow, and is dropped for one that has stalled.
 */
#ifndef RINGLET_LOG_H
#define RINGLET_LOG_H

enum log_level {
    LOG_LEVEL_ERROR,   /* always shown */
    LOG_LEVEL_WARNING, /* hidden by -q */
    LOG_LEVEL_INFO,    /* shown by -v */
    LOG_LEVEL_COUNT,
};

void log_set_level(enum log_level level);

/*
 * While stdin's terminal is raw a bare newline does not return the carriage; lines then end in "\r\n".
 * Any thread.
 */
void log_set_raw_terminal(int raw);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* no error, but what the person asked to be told: shown always */
void log_always(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
