/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help_text.c - see help_text.h.
 */
#include "help_text.h"

#include <stdio.h>

#include "ringlet/device_type.h"
#include "ringlet/util.h"

static const struct help_form forms[] = {
    { "run --kernel FILE [OPTION]...", "boot a kernel; the console is this terminal" },
    { "exec [OPTION]... -- COMMAND...", "run a command in a guest of its own; its status is ours" },
    { "doctor", "say what this machine offers, and how to mend what is missing" },
    { "--help, --version", NULL },
};

static const struct help_example examples[] = {
    { COMMAND_RUN, "a distribution's kernel, its initrd, and a root file system",
      "ringlet run -k vmlinuz -i initrd.img -d root.img -a root=/dev/vda" },
    { COMMAND_RUN, "a kernel that has its drivers built in needs no initrd",
      "ringlet run -k vmlinux -d root.img -m 2G -c 4" },
    { COMMAND_RUN, "a test, in a script",
      "ringlet run -k vmlinux -i test.cpio --debug-exit --timeout 60s </dev/null" },
    { COMMAND_EXEC, "a command in a fresh guest", "ringlet exec -- uname -a" },
    { COMMAND_EXEC, "with a directory of this machine",
      "ringlet exec --root / --share .:/src --workdir /src -- make test" },
    { COMMAND_EXEC, "standard input and output are the command's",
      "git archive HEAD | ringlet exec -- tar tv" },
};

static const char *const option_notes[] = {
    "A comma in the value of a device, such as a file name, is written twice.",
    "For a FILE, fd=N is a descriptor that the caller has opened; a file of that name is ./fd=N.",
};

const char help_run_text[] =
    "boots a kernel in a virtual machine of its own, by way of KVM; the console is the terminal that it is "
    "started from. It ends when the guest does, with a status that says how.";

const char help_exec_text[] =
    "boots a guest, runs one command in it, and ends with that command's status. Standard input, output and "
    "error are the command's, each apart, byte for byte, with end-of-file passed on. SIGINT, SIGTERM, "
    "SIGHUP and SIGQUIT reach the command, the first of them; a second one ends the virtual machine.";

const char help_doctor_text[] =
    "tries what ringlet needs of this machine, from /dev/kvm to running two small guests, and says "
    "what is missing and how to mend it. Its status is 0 when guests run, even if only small ones do because "
    "this KVM does not run Linux, and 125 when none does.";

const char help_config_text[] =
    "A file for --config is a JSON object, its members the long options without their dashes: a string or a "
    "number for an option that takes an argument, an array of those for one that may be given again, true or "
    "false for one that takes none; \"command\" is an array of exec's words. An option of the command line "
    "counts in place of the file's, or after it if it may be given again. --print-config writes such a file.";

const char help_console_text[] = "Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends one Ctrl-A.";

const struct help_form *help_forms(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(forms);
    return forms;
}

const struct help_example *help_examples(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(examples);
    return examples;
}

const char *const *help_option_notes(unsigned *ret_count)
{
    *ret_count = ARRAY_SIZE(option_notes);
    return option_notes;
}

void help_spell_option(char *to, size_t size, const struct option_entry *entry)
{
    char letter[8] = "    ";

    if (entry->short_name)
        snprintf(letter, sizeof(letter), "-%c, ", entry->short_name);
    snprintf(to, size, "%s--%s%s%s%s", letter, entry->name, entry->metavar ? " " : "",
             entry->metavar ? entry->metavar : "", entry->type && entry->type->key_count ? "[,...]" : "");
}

void help_spell_key(char *to, size_t size, const struct device_key *key)
{
    size_t length = (size_t)snprintf(to, size, "%s%s", key->name, key->kind == DEVICE_KEY_FLAG ? "" : "=");

    if (key->kind == DEVICE_KEY_CHOICE) {
        for (unsigned i = 0; key->choices[i] && length < size; i++)
            length += (size_t)snprintf(to + length, size - length, "%s%s", i ? "|" : "", key->choices[i]);
    } else if (key->metavar && length < size) {
        snprintf(to + length, size - length, "%s", key->metavar);
    }
}
