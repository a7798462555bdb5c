/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h - `ringlet doctor`: what this machine offers, and the mend for each thing that is missing.
 */
#ifndef RINGLET_DOCTOR_H
#define RINGLET_DOCTOR_H

#include <stdio.h>

/*
 * Prints the report. Returns the exit status: 0 when `ringlet run` can run a guest here, EXIT_STATUS_FAILURE
 * when something that it cannot do without is missing.
 */
int doctor_run(FILE *to);

#endif
