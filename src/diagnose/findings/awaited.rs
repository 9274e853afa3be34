//! Findings whose events no trace of this version has: they are named in `not_examined`, with what they need.

use crate::diagnose::catalogue::{Feed, Page, Rule};

/// One of them.
pub(crate) struct Awaited {
    id: &'static str,
    needs: &'static str,
    page: &'static Page,
}

const FILES: &str = "the files that a start opens, which no level records yet";
const IMPORTS: &str = "the imports of Python modules, which no level records yet";
const LIBRARIES: &str = "the list of the libraries that the program loads, which no level records yet";

pub(crate) static FORKSERVER_NO_PRELOAD: Awaited = Awaited {
    id: "forkserver-no-preload",
    needs: IMPORTS,
    page: &Page {
        what: "Workers of a multiprocessing fork server import modules that the server could have imported once for all.",
        why: "A worker is a copy of the server: what the server has imported, no worker imports again.",
        measured: "The imports of the workers, by module.",
        fix: "multiprocessing.set_forkserver_preload([...]) with the modules that the workers need, before the first worker.",
        mistaken: "Modules that start threads or open devices when they are imported must not be preloaded.",
    },
};

pub(crate) static LD_SEARCH: Awaited = Awaited {
    id: "ld-search",
    needs: LIBRARIES,
    page: &Page {
        what: "The dynamic loader tries many paths in vain before it finds the libraries of a program.",
        why: "Every directory of RPATH, RUNPATH and LD_LIBRARY_PATH is tried for every library, in that order, before the cache; each try is a failed open.",
        measured: "The phases load and link, by the share of failed opens.",
        fix: "Take directories out of LD_LIBRARY_PATH, shorten RUNPATH (patchelf --set-rpath), put the directory with most of the libraries first, or use the cache (ldconfig).",
        mistaken: "Failed opens in a warm directory cost 1 us each: a hundred of them do not matter. 'startrace inspect PROGRAM' counts them.",
    },
};

pub(crate) static LD_MANY_LIBRARIES: Awaited = Awaited {
    id: "ld-many-libraries",
    needs: LIBRARIES,
    page: &Page {
        what: "A program loads a great many shared libraries before its own code runs.",
        why: "Each has to be found, opened, mapped, relocated and initialised: 50 to 200 us for one of medium size.",
        measured: "The phases load and link on the critical path.",
        fix: "Drop what is not needed (ldd -u, --as-needed), link statically, load seldom used parts by dlopen.",
        mistaken: "Many small libraries with few relocations cost little; ld-relocations tells the dear ones.",
    },
};

pub(crate) static LD_RELOCATIONS: Awaited = Awaited {
    id: "ld-relocations",
    needs: LIBRARIES,
    page: &Page {
        what: "The dynamic loader spends its time on relocations: looking up symbols and writing addresses.",
        why: "C++ libraries with large interfaces have tens of thousands of relocations, each by name through all libraries.",
        measured: "The phase link on the critical path while it runs.",
        fix: "-fvisibility=hidden, -Bsymbolic-functions, -z pack-relative-relocs, static linking, prelinking; LD_BIND_NOW must not be set without need.",
        mistaken: "A cold page cache lengthens the same phase; cold-cache has that part.",
    },
};

pub(crate) static PYTHON_IMPORT: Awaited = Awaited {
    id: "python-import",
    needs: IMPORTS,
    page: &Page {
        what: "A Python program spends much of its start importing modules.",
        why: "Each module is looked for along sys.path, read, unmarshalled and executed, with all that it imports in its turn.",
        measured: "The time within imports on the critical path, own and cumulative, by module.",
        fix: "Import where it is used, drop heavy dependencies, lazy loaders (importlib.util.LazyLoader, PEP 810), python -X importtime to see the tree.",
        mistaken: "What a program needs at once it has to import: only what is not used can be spared.",
    },
};

pub(crate) static PYTHON_PATH_MISSES: Awaited = Awaited {
    id: "python-path-misses",
    needs: FILES,
    page: &Page {
        what: "Python looks for its modules in many places in vain.",
        why: "Each entry of sys.path before the right one costs a listing or several failed opens for every module; .pth files and zip files add to it.",
        measured: "Failed opens and stats within imports.",
        fix: "A shorter sys.path (PYTHONPATH, .pth files), the largest site-packages first, a zip file or an executable archive.",
        mistaken: "Python keeps directory listings: after the first module of a directory misses are cheap.",
    },
};

pub(crate) static PYTHON_NO_PYC: Awaited = Awaited {
    id: "python-no-pyc",
    needs: FILES,
    page: &Page {
        what: "Python compiles modules at every start, because the compiled ones cannot be kept or are not there.",
        why: "Compiling takes five to ten times as long as loading the .pyc; in read-only images and for users who may not write, it is done every time.",
        measured: "The time between reading a .py and the end of its compilation.",
        fix: "python -m compileall at build time, PYTHONPYCACHEPREFIX to a folder that can be written, no PYTHONDONTWRITEBYTECODE and no -B.",
        mistaken: "The main script is compiled at every start, always: keep it short.",
    },
};

pub(crate) static PYTHON_SITE: Awaited = Awaited {
    id: "python-site",
    needs: FILES,
    page: &Page {
        what: "Python's site module takes long: .pth files, and entry points that are looked for in all packages.",
        why: "Every .pth file is read, and its import lines are executed, at each start of the interpreter.",
        measured: "The time within the import of site and within scans of package metadata.",
        fix: "python -I or -S where site-packages is not needed, take .pth files out, importlib.metadata instead of pkg_resources.",
        mistaken: "A virtual environment needs site to be found.",
    },
};

pub(crate) static JVM_CLASS_LOAD: Awaited = Awaited {
    id: "jvm-class-load",
    needs: FILES,
    page: &Page {
        what: "A JVM loads and verifies thousands of classes at its start, without an archive of them.",
        why: "Every class is read from a jar, parsed, verified and linked; a class-data archive has that done already.",
        measured: "The opens of jars and of the archive, and the JVM's time on the critical path.",
        fix: "AppCDS (-XX:ArchiveClassesAtExit, -XX:SharedArchiveFile, -XX:+AutoCreateSharedArchive), an AOT cache (JDK 24), jlink, native-image.",
        mistaken: "The JDK's default archive covers the JDK's own classes only.",
    },
};

pub(crate) static NODE_MODULE_STORM: Awaited = Awaited {
    id: "node-module-storm",
    needs: FILES,
    page: &Page {
        what: "A Node.js program opens thousands of module files at its start.",
        why: "Each require() looks for package.json files up the tree, reads, wraps and compiles one small file.",
        measured: "The opens below node_modules, and the time between the first and the last.",
        fix: "Bundle (esbuild), module.enableCompileCache(), a V8 start-up snapshot, requires where they are used.",
        mistaken: "Development servers load on purpose what production does not.",
    },
};

pub(crate) static DEPENDENCY_RETRY: Awaited = Awaited {
    id: "dependency-retry",
    needs: "the errors of connect(), which no level records yet",
    page: &Page {
        what: "A start tries to connect to something that is not there yet, sleeps, and tries again.",
        why: "Services that are started together wait for each other in steps of a second and more.",
        measured: "Refused connections and the sleeps between them, on the critical path.",
        fix: "Order the services (After=, depends_on with a health check), activate by socket, retry in shorter steps at first.",
        mistaken: "A client that polls on purpose looks the same. The sleeps alone are told as fixed-sleep.",
    },
};

impl Rule for Awaited {
    fn id(&self) -> &'static str {
        self.id
    }

    fn page(&self) -> &'static Page {
        self.page
    }

    fn feed(&self) -> Feed {
        Feed::Missing(self.needs)
    }
}
