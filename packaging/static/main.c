/* The program: an interpreter of its own, closed off from the machine's files and variables, with all modules frozen
 * into it. modules.S holds their bytecode, modules.h the table of them. */
#include <Python.h>

#include <fcntl.h>

#include "modules.h"

#define RUN L"from zosstorage.__main__ import script; script()"

static PyStatus set(PyConfig *config, wchar_t **field, const wchar_t *value) {
    return PyConfig_SetString(config, field, value);
}

static PyStatus configure(PyConfig *config, int argc, char **argv) {
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1; /* an initramfs sets no locale */
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;

    PyConfig_InitIsolatedConfig(config);
    config->install_signal_handlers = 1; /* as any python: SIGINT raises, SIGPIPE is an error of write() */
    config->parse_argv = 0;
    config->pathconfig_warnings = 0;
    config->site_import = 0;
    config->use_frozen_modules = 1;
    config->write_bytecode = 0;
    config->module_search_paths_set = 1; /* to none: nothing is ever imported from a file */
    status = PyConfig_SetBytesArgv(config, argc, argv);
    /* A home keeps Python from searching for one: no pyvenv.cfg beside the program is read. */
    const struct {
        wchar_t **field;
        const wchar_t *value;
    } fixed[] = {
        {&config->home, L"/"},          {&config->program_name, L"zosstorage"}, {&config->executable, L""},
        {&config->run_command, RUN},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && !PyStatus_Exception(status); i++)
        status = set(config, fixed[i].field, fixed[i].value);
    return status;
}

/* A kernel that finds no console starts init without streams: a disk must not become the stderr of a tool. */
static void open_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            open("/dev/null", O_RDWR); /* takes the lowest number that is free */
}

int main(int argc, char **argv) {
    open_streams();
    PyConfig config;
    PyImport_FrozenModules = modules;
    PyStatus status = configure(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    return Py_RunMain();
}
