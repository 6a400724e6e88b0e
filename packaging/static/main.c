/* The program: a Python interpreter with all modules frozen in. It reads no Python files and no PYTHON* variables of the
 * machine. modules.S has the bytecode of the modules, modules.h their table. */
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
    preconfig.utf8_mode = 1; /* in an initramfs, no locale is set */
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;

    PyConfig_InitIsolatedConfig(config);
    config->install_signal_handlers = 1; /* as in python: SIGINT raises KeyboardInterrupt, SIGPIPE is ignored */
    config->parse_argv = 0;
    config->pathconfig_warnings = 0;
    config->site_import = 0;
    config->use_frozen_modules = 1;
    config->write_bytecode = 0;
    config->module_search_paths_set = 1; /* an empty list: nothing is imported from files */
    status = PyConfig_SetBytesArgv(config, argc, argv);
    /* With a home set, Python does not search for one, and does not read a pyvenv.cfg beside the program. */
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

/* Without a console, the kernel starts init with descriptors 0 to 2 closed. Open them: a disk that is opened as
 * descriptor 2 would receive the error messages of tools. */
static void open_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            open("/dev/null", O_RDWR); /* open() returns the lowest free descriptor, which is fd */
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
