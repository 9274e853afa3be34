//! `cargo xtask setup`: installs what a fresh machine lacks, and nothing where nothing is missing.

use crate::shell::{self, is_root, run, show, status, succeeds, which};
use anyhow::{Result, bail};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Package lists older than this are fetched anew before an install: old ones name versions that
/// the mirror has no more.
const LISTS_AGE: Duration = Duration::from_secs(24 * 3600);

/// One thing that has to be there.
struct Need {
    /// What it is for, in words.
    what: &'static str,
    /// Whether it is there.
    present: fn() -> bool,
    /// Its package, by manager: apt, dnf, pacman, zypper, apk.
    packages: [&'static str; 5],
}

/// libbpf-sys builds its own libbpf with make and pkg-config against the system's libelf and zlib;
/// clang builds the BPF programs; gcc the test programs.
const NEEDS: &[Need] = &[
    Need {
        what: "C compiler",
        present: || which("gcc").is_some() && which("cc").is_some(),
        packages: ["gcc"; 5],
    },
    Need {
        what: "C library headers",
        present: || header("stdio.h") && header("linux/types.h"),
        packages: ["libc6-dev", "glibc-devel", "glibc", "glibc-devel", "musl-dev"],
    },
    Need { what: "make", present: || which("make").is_some(), packages: ["make"; 5] },
    Need {
        what: "pkg-config",
        present: || which("pkg-config").is_some(),
        packages: ["pkg-config", "pkgconf-pkg-config", "pkgconf", "pkg-config", "pkgconf"],
    },
    Need {
        what: "libelf headers",
        present: || header("libelf.h"),
        packages: ["libelf-dev", "elfutils-libelf-devel", "libelf", "libelf-devel", "elfutils-dev"],
    },
    Need {
        what: "zlib headers",
        present: || header("zlib.h"),
        packages: ["zlib1g-dev", "zlib-devel", "zlib", "zlib-devel", "zlib-dev"],
    },
    Need { what: "clang with the BPF target", present: clang, packages: ["clang"; 5] },
    Need {
        what: "CPython 3.8 or newer",
        present: python,
        packages: ["python3", "python3", "python", "python3", "python3"],
    },
    Need { what: "sudo", present: || which("sudo").is_some(), packages: ["sudo"; 5] },
];

/// What the tests need beyond that: the shells whose jobs they trace, a terminal for the full screen, another C
/// library, and Java.
const TEST_NEEDS: &[Need] = &[
    Need { what: "bash", present: || which("bash").is_some(), packages: ["bash"; 5] },
    Need { what: "dash", present: || which("dash").is_some(), packages: ["dash"; 5] },
    Need { what: "busybox", present: || which("busybox").is_some(), packages: ["busybox"; 5] },
    Need { what: "tmux", present: || which("tmux").is_some(), packages: ["tmux"; 5] },
    Need {
        what: "musl with its compiler",
        present: || which("musl-gcc").is_some() || which("apk").is_some(),
        packages: ["musl-tools", "musl-gcc", "musl", "musl-gcc", "musl-dev"],
    },
    Need {
        what: "Java",
        present: || which("java").is_some(),
        packages: [
            "default-jre-headless",
            "java-latest-openjdk-headless",
            "jre-openjdk-headless",
            "java-21-openjdk-headless",
            "openjdk21-jre-headless",
        ],
    },
];

/// What installs the programs that read exports in the tests.
const READER_NEEDS: &[Need] = &[
    Need {
        what: "Python's venv with pip",
        present: || succeeds(Command::new("python3").args(["-S", "-c", "import ensurepip, venv"])),
        packages: ["python3-venv", "python3", "python", "python3", "python3"],
    },
    Need {
        what: "CPython 3.11 as a library, for a collector of PyPI's",
        present: || library("libpython3.11.so.1.0"),
        packages: ["libpython3.11", "python3.11-libs", "python311", "libpython3_11-1_0", "python3"],
    },
];

/// What boots other kernels.
const VM_NEEDS: &[Need] = &[
    Need {
        what: "qemu for x86-64",
        present: || which("qemu-system-x86_64").is_some(),
        packages: ["qemu-system-x86", "qemu-system-x86", "qemu-system-x86", "qemu-x86", "qemu-system-x86_64"],
    },
    Need { what: "strip", present: || which("strip").is_some(), packages: ["binutils"; 5] },
    Need { what: "dpkg-deb", present: || which("dpkg-deb").is_some(), packages: ["dpkg"; 5] },
];

/// What drives and is the browser of the tests.
const BROWSER_NEEDS: &[Need] = &[
    Need { what: "node", present: || which("node").is_some(), packages: ["nodejs"; 5] },
    Need { what: "npm", present: || which("npm").is_some(), packages: ["npm"; 5] },
    Need { what: "Chromium", present: || chromium().is_some(), packages: ["chromium"; 5] },
];

/// Chromium under the names that distributions give it.
pub fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(which)
}

/// A package manager: its place in [`Need::packages`], and how it installs.
struct Manager {
    name: &'static str,
    index: usize,
    update: &'static [&'static str],
    install: &'static [&'static str],
}

const MANAGERS: &[Manager] = &[
    Manager {
        name: "apt-get",
        index: 0,
        update: &["-o", "DPkg::Lock::Timeout=120", "update"],
        install: &["-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--no-install-recommends"],
    },
    Manager {
        name: "dnf",
        index: 1,
        update: &[],
        install: &["install", "--assumeyes", "--setopt=install_weak_deps=False"],
    },
    Manager {
        name: "pacman",
        index: 2,
        update: &["-Sy", "--noconfirm"],
        install: &["-S", "--needed", "--noconfirm"],
    },
    Manager {
        name: "zypper",
        index: 3,
        update: &[],
        install: &["--non-interactive", "install", "--no-recommends"],
    },
    Manager { name: "apk", index: 4, update: &[], install: &["add"] },
];

impl Manager {
    /// The one of this machine.
    fn find() -> Option<&'static Self> {
        MANAGERS.iter().find(|manager| which(manager.name).is_some())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = if is_root() {
            Command::new("env")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("env");
            sudo
        };
        if self.name == "apt-get" {
            command.arg("DEBIAN_FRONTEND=noninteractive");
        }
        command.arg(self.name).args(args).stdin(Stdio::null());
        // sudo reads a password from the terminal itself, so that needs no stdin.
        command
    }

    fn install(&self, packages: &[&str]) -> Command {
        self.command(&[self.install, packages].concat())
    }

    /// The lists were never fetched (images ship without), or long ago.
    fn lists_are_old(&self) -> bool {
        let (folder, wanted) = match self.name {
            "apt-get" => ("/var/lib/apt/lists", "_Packages"),
            "pacman" => return !has_entry("/var/lib/pacman/sync", ".db"),
            _ => return false,
        };
        // The files carry the server's times; apt touches the folders whenever it fetches.
        let fetched = [folder, "/var/lib/apt/lists/partial"]
            .iter()
            .filter_map(|path| fs::metadata(path).and_then(|info| info.modified()).ok())
            .max();
        let age = fetched.and_then(|time| SystemTime::now().duration_since(time).ok());
        !has_entry(folder, wanted) || age.is_some_and(|age| age > LISTS_AGE)
    }
}

fn has_entry(folder: &str, part: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains(part))
    })
}

/// Whether programs find that library.
fn library(name: &str) -> bool {
    let known = Command::new("ldconfig").arg("-p").output();
    known.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(name))
}

/// Whether the C compiler finds a header, wherever this distribution keeps it.
fn header(name: &str) -> bool {
    compiles(Command::new("cc").args(["-E", "-x", "c", "-"]), &format!("#include <{name}>\n"))
}

/// As build.rs looks for it: `$BPF_CLANG`, `clang`, then `clang-NN`.
fn clang() -> bool {
    let works = |name: &str| {
        let mut command = Command::new(name);
        command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-x", "c", "-c", "-o", "/dev/null", "-"]);
        compiles(&mut command, "int answer(void) { return 42; }\n")
    };
    match std::env::var("BPF_CLANG") {
        Ok(name) if !name.is_empty() => works(&name),
        _ => {
            works("clang")
                || (14..=40)
                    .rev()
                    .any(|n| which(&format!("clang-{n}")).is_some() && works(&format!("clang-{n}")))
        }
    }
}

fn compiles(command: &mut Command, text: &str) -> bool {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    // A compiler that ended already is told by its status.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes()));
    child.wait().is_ok_and(|status| status.success())
}

fn python() -> bool {
    let test = "import sys; sys.exit(sys.version_info < (3, 8))";
    which("python3").is_some() && succeeds(Command::new("python3").args(["-S", "-c", test]))
}

pub fn command(args: &[String]) -> Result<()> {
    match args {
        [] => {
            ensure_for_tests()?;
            components()?;
            eprintln!("setup: everything is here");
            Ok(())
        }
        [flag] if flag == "--dry-run" => dry_run(),
        _ => bail!("usage: cargo xtask setup [--dry-run]"),
    }
}

fn missing(needs: impl Iterator<Item = &'static Need>) -> Vec<&'static Need> {
    needs.filter(|need| !(need.present)()).collect()
}

fn dry_run() -> Result<()> {
    let missing = missing(NEEDS.iter().chain(TEST_NEEDS).chain(READER_NEEDS));
    if missing.is_empty() {
        println!("nothing is missing");
    } else {
        let manager = manager_for(&missing)?;
        if manager.lists_are_old() && !manager.update.is_empty() {
            println!("{}", show(&manager.command(manager.update)));
        }
        println!("{}", show(&manager.install(&packages(manager, &missing))));
    }
    for name in missing_components() {
        println!("rustup component add {name}");
    }
    Ok(())
}

fn packages(manager: &Manager, needs: &[&Need]) -> Vec<&'static str> {
    needs.iter().map(|need| need.packages[manager.index]).collect()
}

fn manager_for(missing: &[&Need]) -> Result<&'static Manager> {
    let what: Vec<_> = missing.iter().map(|need| need.what).collect();
    let what = what.join(", ");
    let Some(manager) = Manager::find() else {
        bail!(
            "missing: {what}; and this machine has no apt-get, dnf, pacman, zypper or apk to install them with: install them by hand"
        );
    };
    if !is_root() && which("sudo").is_none() {
        let by_hand = Command::new(manager.name)
            .args(manager.install)
            .args(packages(manager, missing))
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        bail!("missing: {what}; there is no sudo: as root, run `{} {by_hand}`", manager.name);
    }
    Ok(manager)
}

/// Installs what is missing to build and to run, or stops with the name of what could not be installed.
pub fn ensure() -> Result<()> {
    supply(missing(NEEDS.iter()))
}

/// The same with what the tests need besides.
pub fn ensure_for_tests() -> Result<()> {
    supply(missing(NEEDS.iter().chain(TEST_NEEDS)))
}

/// What booting other kernels needs besides.
pub fn ensure_for_vm() -> Result<()> {
    if which("apt-get").is_none() {
        bail!("the kernels are Debian's, and fetched with apt-get, which is not here");
    }
    supply(missing(VM_NEEDS.iter()))
}

/// The newest clang among the packages, installed; its name.
pub fn newest_clang() -> Result<String> {
    let output = Command::new("apt-cache").args(["search", "--names-only", "^clang-[0-9]+$"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let versions =
        said.lines().filter_map(|line| line.strip_prefix("clang-")?.split(' ').next()?.parse().ok());
    let Some(newest) = versions.max().map(|n: u32| format!("clang-{n}")) else {
        bail!("no package clang-NN is known: apt-get update");
    };
    if which(&newest).is_none() {
        install_one(&newest)?;
    }
    Ok(newest)
}

/// What the tests in a browser need besides.
pub fn ensure_for_browser() -> Result<()> {
    supply(missing(BROWSER_NEEDS.iter()))
}

/// What the tests of exports need besides.
pub fn ensure_for_readers() -> Result<()> {
    supply(missing(READER_NEEDS.iter()))
}

fn supply(missing: Vec<&'static Need>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let manager = manager_for(&missing)?;
    for need in &missing {
        eprintln!("setup: {} is missing: package {}", need.what, need.packages[manager.index]);
    }
    if manager.lists_are_old() && !manager.update.is_empty() {
        run(&mut manager.command(manager.update))?;
    }
    let packages = packages(manager, &missing);
    install(manager, &packages)?;
    for need in &missing {
        if !(need.present)() {
            bail!(
                "package {} is installed, but there is still no {}",
                need.packages[manager.index],
                need.what
            );
        }
    }
    Ok(())
}

/// All at once; if that fails, one by one, to name the one that it was.
fn install(manager: &Manager, packages: &[&str]) -> Result<()> {
    if status(&mut manager.install(packages))?.success() {
        return Ok(());
    }
    for package in packages {
        let status = status(&mut manager.install(&[package]))?;
        if !status.success() {
            bail!(
                "package {package} could not be installed ({status}, see above); nothing was built. Mend that and run this again"
            );
        }
    }
    Ok(())
}

/// Installs one package by its name on each manager; for peers of the benchmarks.
pub fn install_one(apt: &str) -> Result<()> {
    match Manager::find() {
        Some(manager) if manager.name == "apt-get" => {
            if manager.lists_are_old() {
                run(&mut manager.command(manager.update))?;
            }
            install(manager, &[apt])
        }
        _ => bail!("packages beyond the usual are installed with apt-get only; install {apt} by hand"),
    }
}

fn missing_components() -> Vec<&'static str> {
    [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, command)| !succeeds(shell::cargo().args([command, "--version"])))
        .map(|(name, _)| name)
        .collect()
}

/// rustfmt and clippy, which minimal toolchains lack.
pub fn components() -> Result<()> {
    let missing = missing_components();
    if missing.is_empty() {
        return Ok(());
    }
    if which("rustup").is_none() {
        bail!(
            "this Rust has no {}: install it as your Rust was installed (with rustup: rustup component add {})",
            missing.join(" and no "),
            missing.join(" ")
        );
    }
    run(Command::new("rustup").args(["component", "add"]).args(&missing))
}

/// What reads the counters of instrumented programs, of the very release of LLVM that this Rust has.
pub fn llvm_tools() -> Result<()> {
    let sysroot = shell::sysroot()?;
    let found = |folder: fs::DirEntry| folder.path().join("bin/llvm-profdata").is_file();
    let rustlib = sysroot.join("lib/rustlib");
    if fs::read_dir(&rustlib).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(found))) {
        return Ok(());
    }
    if which("rustup").is_none() {
        bail!("this Rust has no llvm-tools: with rustup it would be: rustup component add llvm-tools");
    }
    run(Command::new("rustup").args(["component", "add", "llvm-tools"]))
}

/// Whether the kernel has what the privileged part needs, or what is missing.
pub fn kernel() -> Result<()> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!("this kernel has no BTF (/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF=y");
    }
    Ok(())
}
