//! The resolution against the real loader, on programs of the system and on ones built to be awkward.

use super::*;
use crate::elf::testing::{gcc, library, output};
use std::collections::BTreeMap;
use std::process::Command;

/// The environment of a start.
#[derive(Default, Clone, Copy)]
struct Env<'a> {
    library_path: Option<&'a str>,
    preload: Option<&'a str>,
    cwd: Option<&'a Path>,
}

fn mine(program: &Path, env: Env<'_>) -> Resolution {
    let root = Root::host().unwrap();
    let file = File::open(program).unwrap();
    let bytes = |v: Option<&str>| v.map(|v| v.as_bytes().to_vec());
    let settings = Settings {
        root: &root,
        cwd: env.cwd.unwrap_or(Path::new("/")).to_owned(),
        library_path: bytes(env.library_path),
        preload: bytes(env.preload),
        secure: false,
    };
    let real = root.real_path(&file).unwrap();
    resolve(&file, &real, &settings).unwrap()
}

fn loader(program: &Path, env: Env<'_>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command.current_dir(env.cwd.unwrap_or(Path::new("/")));
    if let Some(path) = env.library_path {
        command.env("LD_LIBRARY_PATH", path);
    }
    if let Some(preload) = env.preload {
        command.env("LD_PRELOAD", preload);
    }
    command
}

/// Name and path of all libraries as the loader lists them (as ldd does), and its failed tries.
fn real(program: &Path, env: Env<'_>) -> (Vec<(String, Option<String>)>, u64) {
    let listed = output(loader(program, env).env("LD_TRACE_LOADED_OBJECTS", "1"));
    let listed = listed
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with("linux-vdso") && !l.is_empty())
        .map(|line| {
            let line = line.split(" (0x").next().unwrap();
            match line.split_once(" => ") {
                Some((name, "not found")) => (name.to_owned(), None),
                Some((name, path)) => (name.to_owned(), Some(path.to_owned())),
                None => (line.to_owned(), Some(line.to_owned())),
            }
        })
        .collect();
    let debug =
        loader(program, env).envs([("LD_TRACE_LOADED_OBJECTS", "1"), ("LD_DEBUG", "libs")]).output().unwrap();
    let debug = String::from_utf8_lossy(&debug.stderr);
    let _tried = debug.lines().filter_map(|l| l.split_once("trying file="));
    // Subdirectories for processor features, of this and earlier glibc versions.
    let special = ["glibc-hwcaps", "tls", "haswell", "avx512_1", "x86_64"];
    let tried = debug.lines().filter_map(|l| l.split_once("trying file="));
    let tried: Vec<&str> = tried
        .map(|(_, file)| file)
        .filter(|file| !file.split('/').any(|part| special.contains(&part)))
        .collect();
    (listed, tried.len() as u64)
}

/// Compares the answers; `tries` too where no `$PLATFORM` or processor directory is in play.
fn compare(program: &Path, env: Env<'_>, tries: bool) -> Resolution {
    let mine = mine(program, env);
    let (mut listed, tried) = real(program, env);
    assert!(!listed.is_empty(), "{}", program.display());
    let mut answer: Vec<(String, Option<String>)> = mine
        .libraries
        .iter()
        // The loader lists itself only where something needs it.
        .filter(|l| l.found != Some(Found::Interpreter) || !l.needed_by.is_empty())
        .map(|l| {
            // The loader is listed by its path, the others by the name that was asked for.
            let name = match l.found {
                Some(Found::Interpreter | Found::Direct) => l.path.as_ref().unwrap(),
                _ => &l.name,
            };
            (name.clone(), l.path.clone())
        })
        .collect();
    // The loader lists what it has not found last.
    for list in [&mut answer, &mut listed] {
        list.sort_by_key(|(_, path)| path.is_none());
    }
    assert_eq!(answer, listed, "{}", program.display());
    if tries {
        // The loader prints successful tries too, but not what comes from the cache at first go:
        // that is printed as well ("trying file=" follows "search cache=").
        let found =
            |l: &&Library| l.path.is_some() && !matches!(l.found, Some(Found::Interpreter | Found::Direct));
        let found = mine.libraries.iter().filter(found).count() as u64;
        assert_eq!(mine.failed_tries + found, tried, "{}", program.display());
    }
    mine
}

#[test]
fn programs_of_this_system() {
    let cc1 = output(Command::new("gcc").arg("-print-prog-name=cc1"));
    let mut programs = vec![PathBuf::from("/bin/bash"), PathBuf::from(cc1.trim())];
    let more = [
        "/usr/bin/git",
        "/usr/local/bin/git",
        "/usr/bin/perl",
        "/usr/bin/python3",
        "/usr/bin/node",
        "/usr/bin/java",
        "/usr/bin/gdb",
        "/usr/bin/vim",
        "/usr/bin/ssh",
        "/usr/bin/curl",
        "/usr/bin/systemctl",
    ];
    programs.extend(more.map(PathBuf::from));
    for versions in std::fs::read_dir("/root/.pyenv/versions").into_iter().flatten() {
        programs.push(versions.unwrap().path().join("bin/python3"));
    }
    programs.push(std::env::current_exe().unwrap());
    let is_elf = |p: &PathBuf| File::open(p).is_ok_and(|f| facts(&f).is_ok());
    let programs: Vec<PathBuf> = programs.into_iter().filter(is_elf).collect();
    assert!(programs.len() >= 3, "{programs:?}");
    for program in programs {
        compare(&program, Env::default(), true);
    }
}

/// A tree of libraries: `main` needs liba, which needs libb, which is in another directory.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Tree {
        Tree { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        // Canonical: the loader says where it finds the program itself that way.
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn library(&self, name: &str, needs: &[&str], flags: &str) -> PathBuf {
        let function = Path::new(name).file_stem().unwrap().to_str().unwrap();
        self.build(needs, flags, |args| library(&self.path(name), function, args))
    }

    fn program(&self, name: &str, needs: &[&str], flags: &str) -> PathBuf {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let code = "int main(void) { return 0; }";
        self.build(needs, flags, |args| gcc(&self.path(name), code, args))
    }

    fn build(&self, needs: &[&str], flags: &str, go: impl FnOnce(&[&str]) -> PathBuf) -> PathBuf {
        // What a library needs itself is not looked for at link time.
        let mut args = vec![
            "-Wl,--no-as-needed".to_owned(),
            "-Wl,--allow-shlib-undefined".to_owned(),
            "-Wl,--unresolved-symbols=ignore-in-shared-libs".to_owned(),
        ];
        args.extend(needs.iter().map(|n| self.text(n)));
        args.extend(flags.split_whitespace().map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        go(&args)
    }
}

fn found(resolution: &Resolution) -> BTreeMap<&str, Option<Found>> {
    let libraries = resolution.libraries.iter();
    libraries.map(|l| (l.name.as_str(), l.found)).collect()
}

fn of<'r>(resolution: &'r Resolution, name: &str) -> &'r Library {
    resolution.libraries.iter().find(|l| l.name == name).unwrap()
}

const OLD: &str = "-Wl,--disable-new-dtags";
const NEW: &str = "-Wl,--enable-new-dtags";

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let tree = Tree::new();
    tree.library("b/libb.so", &[], "");
    tree.library("a/liba.so", &["b/libb.so"], "");
    let rpath = format!("-Wl,-rpath,{}:{}", tree.text("a"), tree.text("b"));
    let old = tree.program("old", &["a/liba.so"], &format!("{OLD} {rpath}"));
    let answer = compare(&old, Env::default(), true);
    assert_eq!(found(&answer)["libb.so"], Some(Found::Rpath));
    assert_eq!(of(&answer, "libb.so").failed_tries, 1);
    assert_eq!(of(&answer, "libb.so").needed_by, ["liba.so"]);
    let new = tree.program("new", &["a/liba.so"], &format!("{NEW} {rpath}"));
    let answer = compare(&new, Env::default(), true);
    assert_eq!(found(&answer)["liba.so"], Some(Found::Runpath));
    assert_eq!(of(&answer, "libb.so").path, None);
    assert_eq!(found(&answer)["libb.so"], None);
}

#[test]
fn a_runpath_switches_inherited_rpaths_off() {
    let tree = Tree::new();
    tree.library("b/libb.so", &[], "");
    let other = format!("{NEW} -Wl,-rpath,/nonexistent");
    tree.library("a/liba.so", &["b/libb.so"], &other);
    let rpath = format!("{OLD} -Wl,-rpath,{}:{}", tree.text("a"), tree.text("b"));
    let program = tree.program("p", &["a/liba.so"], &rpath);
    let answer = compare(&program, Env::default(), true);
    assert_eq!(found(&answer)["libb.so"], None);
}

#[test]
fn ld_library_path_comes_between() {
    let tree = Tree::new();
    for dir in ["r", "e", "n"] {
        tree.library(&format!("{dir}/libx.so"), &[], "");
    }
    let env = tree.text("e");
    let env = Env { library_path: Some(&env), ..Env::default() };
    let with = |dir: &str, flag: &str| {
        let flags = format!("{flag} -Wl,-rpath,{}", tree.text(dir));
        tree.program(&format!("p-{dir}"), &["r/libx.so"], &flags)
    };
    let old = compare(&with("r", OLD), env, true);
    assert_eq!(found(&old)["libx.so"], Some(Found::Rpath));
    let new = compare(&with("n", NEW), env, true);
    assert_eq!(found(&new)["libx.so"], Some(Found::LdLibraryPath));
    // Empty elements are the working directory; ';' separates too; a missing folder is tried once.
    let cwd = tree.path("e");
    let env = Env { library_path: Some("/nonexistent;:"), cwd: Some(&cwd), ..Env::default() };
    let answer = compare(&with("n", NEW), env, true);
    assert_eq!(of(&answer, "libx.so").path.as_deref(), Some("libx.so"));
    assert_eq!(of(&answer, "libx.so").failed_tries, 1);
    let empty = Env { library_path: Some(""), cwd: Some(&cwd), ..Env::default() };
    let answer = compare(&with("n", NEW), empty, true);
    assert_eq!(found(&answer)["libx.so"], Some(Found::Runpath));
}

#[test]
fn tokens_are_expanded() {
    let tree = Tree::new();
    tree.library("bin/o1/libo.so", &[], "");
    tree.library("o2/libp.so", &[], "");
    // Debian's $LIB holds a slash; whichever it is, the real loader finds it too.
    for lib in ["lib64", "lib", "lib/x86_64-linux-gnu"] {
        tree.library(&format!("{lib}/libl.so"), &[], "");
    }
    for platform in ["haswell", "x86_64", "aarch64"] {
        tree.library(&format!("plat-{platform}/libq.so"), &[], "");
    }
    let rpath =
        "-Wl,-rpath,$ORIGIN/o1:${ORIGIN}/../o2:${ORIGIN}/../$LIB:$ORIGIN/../plat-${PLATFORM}:$NOTOKEN/x";
    let needs = ["bin/o1/libo.so", "o2/libp.so", "lib64/libl.so", "plat-x86_64/libq.so"];
    let program = tree.program("bin/p", &needs, rpath);
    let answer = compare(&program, Env::default(), false);
    assert_eq!(answer.libraries.iter().filter(|l| l.path.is_none()).count(), 0);
    // Through a symbolic link: $ORIGIN is that of the real program.
    std::os::unix::fs::symlink(&program, tree.path("link")).unwrap();
    compare(&tree.path("link"), Env::default(), false);
    // A library's $ORIGIN is the folder that it was found in, links and all.
    std::os::unix::fs::symlink(tree.path("o2"), tree.path("o3")).unwrap();
    tree.library("o2/libdeep.so", &[], "");
    tree.library("o2/libtop.so", &["o2/libdeep.so"], &format!("{NEW} -Wl,-rpath,$ORIGIN"));
    let flags = format!("{NEW} -Wl,-rpath,$ORIGIN/o3");
    let program = tree.program("q", &["o2/libtop.so"], &flags);
    let answer = compare(&program, Env::default(), true);
    let deep = of(&answer, "libdeep.so").path.clone().unwrap();
    assert!(deep.ends_with("/o3/libdeep.so"), "{deep}");
}

#[test]
fn foreign_files_are_passed_over_and_broken_ones_are_named() {
    let tree = Tree::new();
    let good = tree.library("good/libx.so", &[], "");
    let flags = format!("{NEW} -Wl,-rpath,$ORIGIN/bad:$ORIGIN/good");
    let program = tree.program("p", &["good/libx.so"], &flags);
    std::fs::create_dir(tree.path("bad")).unwrap();
    let mut bytes = std::fs::read(&good).unwrap();
    bytes[4] = 1; // 32 bit
    std::fs::write(tree.path("bad/libx.so"), &bytes).unwrap();
    let answer = compare(&program, Env::default(), true);
    assert_eq!(of(&answer, "libx.so").failed_tries, 1);
    bytes[4] = 2;
    bytes[18] = 183; // another machine
    std::fs::write(tree.path("bad/libx.so"), &bytes).unwrap();
    compare(&program, Env::default(), true);
    // No ELF file at all: the loader gives up.
    let script = format!("GROUP ( libx.so.1 ) {}", " ".repeat(1000));
    std::fs::write(tree.path("bad/libx.so"), script).unwrap();
    let library = of(&mine(&program, Env::default()), "libx.so").clone();
    assert_eq!(library.path, None);
    let problem = library.problem.unwrap();
    assert!(problem.contains("/bad/libx.so: not an ELF file"), "{problem}");
    let run = loader(&program, Env::default()).output().unwrap();
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("invalid ELF header"));
}

#[test]
fn processor_subdirectories_come_first() {
    let tree = Tree::new();
    tree.library("l/libx.so", &[], "");
    for level in ["x86-64-v2", "x86-64-v3", "x86-64-v4"] {
        tree.library(&format!("l/glibc-hwcaps/{level}/libx.so"), &[], "");
        let flags = format!("{NEW} -Wl,-rpath,$ORIGIN/l");
        let program = tree.program("p", &["l/libx.so"], &flags);
        compare(&program, Env::default(), false);
    }
}

#[test]
fn one_file_is_mapped_once() {
    let tree = Tree::new();
    tree.library("l/libx.so", &[], "");
    std::os::unix::fs::symlink("libx.so", tree.path("l/liby.so")).unwrap();
    // liby.so as a name of its own at link time only.
    tree.library("fake/liby.so", &[], "");
    let flags = format!("{NEW} -Wl,-rpath,$ORIGIN/l");
    let program = tree.program("p", &["l/libx.so", "fake/liby.so"], &flags);
    let answer = compare(&program, Env::default(), false);
    assert!(!found(&answer).contains_key("liby.so"));
}

#[test]
fn names_with_a_slash_preloads_and_nodeflib() {
    let tree = Tree::new();
    tree.library("l/libx.so", &[], "");
    let pre = tree.library("pre/libpre.so", &["l/libx.so"], "");
    // Without a SONAME, the path itself becomes the need.
    let direct = tree.path("l/libdirect.so");
    gcc(&direct, "int d(void) { return 0; }", &["-shared", "-fPIC"]);
    let flags = format!("{OLD} -Wl,-rpath,$ORIGIN/l");
    let program = tree.program("p", &["l/libdirect.so"], &flags);
    let preload = format!("{}:/nonexistent.so", pre.display());
    let env = Env { preload: Some(&preload), ..Env::default() };
    let answer = mine(&program, env);
    let (listed, _) = real(&program, env);
    // The real loader drops a preload that is not there from its list; here it stays, as missing.
    let paths: Vec<&str> = answer.libraries.iter().filter_map(|l| l.path.as_deref()).collect();
    let real: Vec<&str> = listed.iter().filter_map(|(_, p)| p.as_deref()).collect();
    assert_eq!(paths, real);
    assert_eq!(answer.libraries[0].needed_by, ["LD_PRELOAD"]);
    assert_eq!(answer.libraries[0].found, Some(Found::Direct));
    assert_eq!(found(&answer)["/nonexistent.so"], None);
    let secure = {
        let root = Root::host().unwrap();
        let settings = Settings {
            root: &root,
            cwd: PathBuf::from("/"),
            library_path: None,
            preload: Some(preload.clone().into_bytes()),
            secure: true,
        };
        resolve(&File::open(&program).unwrap(), &program, &settings).unwrap()
    };
    assert!(secure.libraries.iter().all(|l| l.needed_by != ["LD_PRELOAD"]));
    let program = tree.program("q", &[], "-Wl,-z,nodefaultlib");
    let answer = compare(&program, Env::default(), false);
    assert_eq!(of(&answer, "libc.so.6").path, None);
}

/// A root of its own with a program for musl's loader, which need not run.
#[test]
fn musl_rules_in_another_root() {
    let tree = Tree::new();
    let flags = "-nostdlib -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1";
    tree.library("lib/ld-musl-x86_64.so.1", &[], "-nostdlib");
    tree.library("fake/libc.musl-x86_64.so.1", &[], "-nostdlib");
    tree.library("usr/local/lib/libb.so", &[], "-nostdlib");
    tree.library("opt/liba.so", &["usr/local/lib/libb.so"], "-nostdlib");
    let needs = ["fake/libc.musl-x86_64.so.1", "opt/liba.so"];
    let rpath = format!("{flags} {NEW} -Wl,-rpath,$ORIGIN/../opt");
    let program = tree.program("bin/p", &needs, &rpath);
    let root = Root::open(&tree.path("")).unwrap();
    let file = root.read(Path::new("/bin/p")).unwrap();
    assert_eq!(root.real_path(&file).unwrap(), Path::new("/bin/p"));
    let run = |library_path: Option<&str>| {
        let settings = Settings {
            root: &root,
            cwd: PathBuf::from("/"),
            library_path: library_path.map(|p| p.as_bytes().to_vec()),
            preload: None,
            secure: false,
        };
        resolve(&file, Path::new("/bin/p"), &settings).unwrap()
    };
    assert_eq!(facts(&File::open(&program).unwrap()).unwrap().libc.as_deref(), Some("musl"));
    let answer = run(None);
    let libc = of(&answer, "libc.musl-x86_64.so.1");
    assert_eq!(libc.path.as_deref(), Some("/lib/ld-musl-x86_64.so.1"));
    assert_eq!(libc.found, Some(Found::Interpreter));
    let a = of(&answer, "liba.so");
    assert_eq!(a.path.as_deref(), Some("/bin/../opt/liba.so"));
    assert_eq!(a.found, Some(Found::Runpath));
    // Unlike glibc's, the program's RUNPATH is searched for what its libraries need, too.
    let b = of(&answer, "libb.so");
    assert_eq!(b.path.as_deref(), Some("/usr/local/lib/libb.so"));
    assert_eq!((b.found, b.failed_tries), (Some(Found::Default), 2));
    // LD_LIBRARY_PATH comes first, and the first file is taken, fit or not.
    std::fs::create_dir(tree.path("env")).unwrap();
    std::fs::write(tree.path("env/libb.so"), "text").unwrap();
    let answer = run(Some("/env"));
    assert!(of(&answer, "libb.so").problem.as_ref().unwrap().contains("/env/libb.so"));
    // The file of search folders replaces the built-in ones.
    std::fs::create_dir(tree.path("etc")).unwrap();
    std::fs::write(tree.path("etc/ld-musl-x86_64.path"), "/elsewhere\n/opt").unwrap();
    assert_eq!(of(&run(None), "libb.so").path, None);
}

#[test]
fn links_do_not_lead_out_of_the_root() {
    let tree = Tree::new();
    std::fs::create_dir_all(tree.path("root/etc")).unwrap();
    std::fs::create_dir_all(tree.path("root/lib")).unwrap();
    std::fs::write(tree.path("secret"), "outside").unwrap();
    std::fs::write(tree.path("root/etc/file"), "inside").unwrap();
    let root = Root::open(&tree.path("root")).unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, tree.path(&format!("root/lib/{name}"))).unwrap();
    };
    link("/etc/file", "absolute");
    link("../../../../etc/file", "dots");
    link("../../secret", "escape");
    link("/lib/loop", "loop");
    for name in ["absolute", "dots"] {
        let file = root.read(&Path::new("/lib").join(name)).unwrap();
        assert_eq!(std::io::read_to_string(file).unwrap(), "inside", "{name}");
    }
    assert!(root.read(Path::new("/lib/escape")).is_err());
    assert!(root.read(Path::new("/lib/loop")).is_err());
    assert!(root.read(Path::new("/../secret")).is_err());
    assert!(root.is_dir(Path::new("/lib")));
    // A pipe is not opened for reading, which would wait for a writer.
    nix::unistd::mkfifo(&tree.path("root/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = root.read(Path::new("/pipe")).unwrap_err();
    assert!(matches!(error, Error::NotRegular { what: "a pipe" }));
}
