//! Facts of programs built for the purpose, and of files made to break the reader.

use super::resolve::{Settings, resolve};
use super::root::Root;
use super::testing::{Random, gcc, library, output};
use super::*;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAIN: &str = "int main(void) { return 0; }";

fn of(path: &Path) -> Facts {
    facts(&File::open(path).unwrap()).unwrap()
}

fn readelf_relocations(path: &Path) -> u64 {
    let text = output(Command::new("readelf").arg("-rW").arg(path));
    let is_row = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first.len() >= 12 && first.bytes().all(|b| b.is_ascii_hexdigit())
    };
    text.lines().filter(is_row).count() as u64
}

#[test]
fn a_dynamic_program() {
    let dir = tempfile::tempdir().unwrap();
    let id = "-Wl,--build-id=0x00112233445566778899aabbccddeeff";
    let code = "#include <stdio.h>\nint main(void) { puts(\"x\"); return 0; }";
    let path = gcc(&dir.path().join("p"), code, &["-pie", "-fPIE", id]);
    let f = of(&path);
    assert_eq!(f.kind, Kind::PieExecutable);
    assert_eq!(f.bits, 64);
    assert_eq!(f.linkage.as_deref(), Some("dynamic"));
    assert_eq!(f.libc.as_deref(), Some("glibc"));
    assert!(f.interpreter.as_ref().unwrap().contains("/ld-linux"));
    assert_eq!(f.build_id.as_deref(), Some("00112233445566778899aabbccddeeff"));
    assert_eq!(f.needed, ["libc.so.6"]);
    assert_eq!(f.runtime, None);
    assert_eq!(f.stripped, Some(false));
    assert_eq!(f.relocations, readelf_relocations(&path));
    assert!(f.relocations > 5, "{}", f.relocations);
    assert_eq!(f.problems, [""; 0]);
    let binary = f.binary();
    assert_eq!(binary.needed, Some(1));
    assert_eq!(binary.relocations, Some(f.relocations));
    assert_eq!(binary.interpreter, f.interpreter);
    let json = serde_json::to_string(&f).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), f);
}

#[test]
fn linkage_and_kind() {
    let dir = tempfile::tempdir().unwrap();
    let build = |name: &str, args: &[&str]| of(&gcc(&dir.path().join(name), MAIN, args));
    let fixed = build("fixed", &["-no-pie"]);
    assert_eq!(fixed.kind, Kind::Executable);
    assert_eq!(fixed.linkage.as_deref(), Some("dynamic"));
    let stat = build("static", &["-static"]);
    assert_eq!(stat.kind, Kind::Executable);
    assert_eq!(stat.linkage.as_deref(), Some("static"));
    assert_eq!(stat.libc.as_deref(), Some("glibc"));
    assert_eq!(stat.interpreter, None);
    assert_eq!(stat.binary().needed, Some(0));
    assert_eq!(stat.relocations, readelf_relocations(&dir.path().join("static")));
    let pie = build("static-pie", &["-static-pie", "-s"]);
    assert_eq!(pie.linkage.as_deref(), Some("static-pie"));
    assert_eq!(pie.libc.as_deref(), Some("glibc"));
    assert_eq!(pie.stripped, Some(true));
    let object = build("object.o", &["-c"]);
    assert_eq!(object.kind, Kind::Relocatable);
    assert_eq!(object.linkage, None);
    let lib = library(
        &dir.path().join("libx.so.1"),
        "x",
        &["-Wl,--enable-new-dtags,-rpath,/a:$ORIGIN", "-Wl,-z,now"],
    );
    let lib = of(&lib);
    assert_eq!(lib.kind, Kind::SharedLibrary);
    assert_eq!(lib.soname.as_deref(), Some("libx.so.1"));
    assert_eq!(lib.runpath.as_deref(), Some("/a:$ORIGIN"));
    assert_eq!(lib.rpath, None);
    assert!(lib.bind_now);
    let old = build("old", &["-Wl,--disable-new-dtags,-rpath,/b", "-Wl,-z,lazy,-z,nodefaultlib"]);
    assert_eq!(old.rpath.as_deref(), Some("/b"));
    assert_eq!(old.runpath, None);
    assert!(old.no_default_folders);
    assert!(!old.bind_now);
}

#[test]
fn packed_relocations_are_counted_singly() {
    let dir = tempfile::tempdir().unwrap();
    let code = "static int v; int *table[300] = { [0 ... 299] = &v }; int main(void) { return !table[1]; }";
    let plain = gcc(&dir.path().join("plain"), code, &["-pie", "-fPIE"]);
    let packed = gcc(&dir.path().join("packed"), code, &["-pie", "-fPIE", "-Wl,-z,pack-relative-relocs"]);
    assert!(of(&plain).relocations >= 300);
    assert_eq!(of(&plain).relocations, readelf_relocations(&plain));
    assert_eq!(of(&packed).relocations, of(&plain).relocations);
    let dynamic = output(Command::new("readelf").arg("-dW").arg(&packed));
    assert!(dynamic.contains("RELR"), "{dynamic}");
}

#[test]
fn the_sysv_hash_table_serves_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let code = "int ruby_run_node(void) { return 0; } int main(void) { return 0; }";
    for style in ["sysv", "gnu"] {
        let flag = format!("-Wl,--hash-style={style}");
        let path = gcc(&dir.path().join(style), code, &["-rdynamic", &flag]);
        assert_eq!(of(&path).runtime.as_deref(), Some("ruby"), "{style}");
    }
}

#[test]
fn probes_are_listed_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let code = r#"
        unsigned short counter __attribute__((section(".probes"), used)) = 0;
        void __attribute__((noinline, used)) here(void) {
            asm volatile(
                "990: nop\n"
                ".pushsection .note.stapsdt,\"\",\"note\"\n"
                ".balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
                "991: .asciz \"stapsdt\"\n992: .balign 4\n"
                "993: .8byte 990b, _.stapsdt.base, counter\n"
                ".asciz \"prov\"\n.asciz \"start\"\n.asciz \"8@%rdi\"\n994: .balign 4\n"
                ".popsection\n"
                ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.popsection\n");
        }
        int main(void) { here(); return 0; }"#;
    let path = gcc(&dir.path().join("p"), code, &["-O1", "-no-pie"]);
    assert_eq!(of(&path).probes, 1);
    let found = probes(&File::open(&path).unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    let probe = &found[0];
    assert_eq!(
        (probe.provider.as_str(), probe.name.as_str(), probe.arguments.as_str()),
        ("prov", "start", "8@%rdi")
    );
    let symbols = output(Command::new("nm").arg(&path));
    let here = symbols.lines().find(|l| l.ends_with(" T here")).unwrap();
    let here = u64::from_str_radix(here.split(' ').next().unwrap(), 16).unwrap();
    assert!((here..here + 8).contains(&probe.address));
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes[probe.offset.unwrap() as usize], 0x90, "a nop");
    assert!(probe.semaphore_offset.is_some());
}

/// A program that needs libraries of these names.
fn needing(dir: &Path, name: &str, libraries: &[&str], code: &str) -> Facts {
    let mut args = vec!["-Wl,--no-as-needed".to_owned()];
    for (i, lib) in libraries.iter().enumerate() {
        let functions = ["Py_BytesMain", "ruby_options", "perl_run", "JLI_Launch"];
        let file = dir.join(lib);
        library(&file, functions[i % 4], &[]);
        args.push(file.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    of(&gcc(&dir.join(name), code, &args))
}

#[test]
fn runtimes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let python = "int Py_BytesMain(void); int main(void) { return Py_BytesMain(); }";
    let is = |f: Facts, runtime: Option<&str>| assert_eq!(f.runtime.as_deref(), runtime);
    let all = ["libpython3.12.so.1.0", "libruby-3.1.so.3.1", "libperl.so.5.36"];
    is(needing(dir, "a", &all[..1], python), Some("cpython 3.12"));
    is(needing(dir, "b", &["libpython3.6m.so.1.0"], MAIN), Some("cpython 3.6"));
    // An editor with everything says nothing; an interpreter stays one.
    is(needing(dir, "c", &all, MAIN), None);
    is(needing(dir, "d", &all, python), Some("cpython 3.12"));
    is(needing(dir, "e", &all[1..2], MAIN), Some("ruby"));
    is(needing(dir, "f", &["libjli.so"], MAIN), Some("jvm"));
    is(needing(dir, "g", &["libpypy3.9-c.so"], MAIN), Some("pypy 3.9"));

    let build = |name: &str, code: &str| of(&gcc(&dir.join(name), code, &["-rdynamic", "-s"]));
    let main = |rest: &str| format!("{rest}; {MAIN}");
    let code = "int Py_BytesMain(void) { return 0; } const unsigned long Py_Version = 0x030d00f0";
    is(build("h", &main(code)), Some("cpython 3.13"));
    let code = "int Py_BytesMain(void) { return 0; } const char p[] = \"lib/python3.8\"";
    is(build("i", &main(code)), Some("cpython 3.8"));
    let code = "int Py_Main(void) { return 0; } char p[] = \"lib/python2.7\"";
    is(build("j", &main(code)), Some("cpython 2.7"));
    let code = "int Py_Main(void) { return 0; }";
    is(build("python3.4", &main(code)), Some("cpython 3.4"));
    is(build("k", &main(code)), Some("cpython"));
    is(build("l", &main("int perl_run(void) { return 0; }")), Some("perl"));
    is(build("m", &main("int php_module_startup(void) { return 0; }")), Some("php"));
    is(build("n", &main("int _ZN4node5StartEiPPc(void) { return 0; }")), Some("node"));
    is(build("o", &main("int JNI_CreateJavaVM(void) { return 0; }")), Some("jvm"));
    is(of(&std::env::current_exe().unwrap()), Some("rust"));
}

#[test]
fn programs_that_pyinstaller_made() {
    let dir = tempfile::tempdir().unwrap();
    let build = |name: &str, mark: &str, library: &str| {
        let section = format!(
            ".pushsection pydata,\\\"\\\"\\n.ascii \\\"archive\\\"\\n.ascii \\\"{mark}\\\"\\n.space 16\\n\
             name: .ascii \\\"{library}\\\"\\n.space 64 - (. - name)\\n.popsection"
        );
        let facts = of(&gcc(&dir.path().join(name), &format!("asm(\"{section}\"); {MAIN}"), &["-s"]));
        (facts.runtime, facts.program)
    };
    let frozen = |runtime: &str| (Some(runtime.to_owned()), Some("pyinstaller".to_owned()));
    let mark = "MEI\\\\014\\\\013\\\\012\\\\013\\\\016";
    assert_eq!(build("a", mark, "libpython3.11.so.1.0"), frozen("cpython 3.11"));
    assert_eq!(build("b", mark, "_internal/libpython3.8m.so.1.0"), frozen("cpython 3.8"));
    assert_eq!(build("c", mark, "x"), frozen("cpython"));
    assert_eq!(build("d", "MEI\\\\014\\\\013\\\\012\\\\013\\\\017", "libpython3.11.so.1.0"), (None, None));
}

#[test]
fn go_build_information() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let build = |name: &str, data: &str, args: &[&str]| {
        let code = format!(
            "asm(\".section .go.buildinfo,\\\"aw\\\"\\n.balign 16\\nstart: .ascii \\\"\\\\377 Go buildinf:\\\"\\n{data}\\n.text\\n\"); {MAIN}"
        );
        of(&gcc(&dir.join(name), &code, args)).runtime
    };
    let inline = ".byte 8, 2\\n.space 16\\n.byte 8\\n.ascii \\\"go1.22.3\\\"";
    assert_eq!(build("inline", inline, &[]).as_deref(), Some("go 1.22"));
    let devel = ".byte 8, 2\\n.space 16\\n.byte 14\\n.ascii \\\"devel go1.23-x\\\"";
    assert_eq!(build("devel", devel, &[]).as_deref(), Some("go 1.23"));
    // Before 1.18: pointers to string headers.
    let pointers = ".byte 8, 0\\n.8byte head, 0\\nhead: .8byte text, 6\\ntext: .ascii \\\"go1.15\\\"";
    let pointers = build("pointers", pointers, &["-no-pie"]);
    assert_eq!(pointers.as_deref(), Some("go 1.15"));
    let long = ".byte 8, 2\\n.space 16\\n.byte 0xff, 0xff, 0xff, 0xff, 0x7f";
    assert_eq!(build("long", long, &[]).as_deref(), Some("go"));
}

#[test]
fn what_is_no_elf_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    std::fs::write(&text, "#!/bin/sh\x1b[31m").unwrap();
    let error = facts(&File::open(&text).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "not an ELF file: it starts with \"#!/bin/sh\\x1b[31m\"");
    std::fs::write(&text, "").unwrap();
    let error = facts(&File::open(&text).unwrap()).unwrap_err();
    assert!(matches!(error, Error::NotElf { starts_with } if starts_with.is_empty()));
    let error = facts(&File::open(dir.path()).unwrap()).unwrap_err();
    assert!(matches!(error, Error::NotRegular { what: "a folder" }));
    let error = facts(&File::open("/dev/null").unwrap()).unwrap_err();
    assert!(matches!(error, Error::NotRegular { what: "a device" }));
}

struct Victim {
    dir: tempfile::TempDir,
    root: Root,
    bytes: Vec<u8>,
}

impl Victim {
    /// A program with everything that is read: notes, a probe, search paths, packed relocations.
    fn new() -> Victim {
        let dir = tempfile::tempdir().unwrap();
        let lib = library(&dir.path().join("libneeded.so"), "needed", &[]);
        let code = "int needed(void); int Py_BytesMain(void) { return 0; } static int v; int *t[99] = { [0 ... 98] = &v };\n\
            asm(\".pushsection .note.stapsdt,\\\"\\\",\\\"note\\\"\\n.4byte 8, 32, 3\\n.asciz \\\"stapsdt\\\"\\n.8byte 1, 2, 3\\n.asciz \\\"p\\\"\\n.asciz \\\"nam\\\"\\n.4byte 0\\n.popsection\");\n\
            asm(\".pushsection .go.buildinfo,\\\"aw\\\"\\n.ascii \\\"\\\\377 Go buildinf:\\\"\\n.byte 8,2\\n.popsection\");\n\
            int main(void) { return needed(); }";
        let path = gcc(
            &dir.path().join("victim"),
            code,
            &[
                "-s",
                "-rdynamic",
                "-Wl,--hash-style=both,-rpath,$ORIGIN:${LIB}/x:/nowhere",
                lib.to_str().unwrap(),
            ],
        );
        Victim { bytes: std::fs::read(path).unwrap(), root: Root::host().unwrap(), dir }
    }

    /// Reads a damaged copy in every way; fails by panicking or by trying files without bound.
    fn read(&self, bytes: &[u8], what: &str) -> Result<Facts, Error> {
        let path = self.dir.path().join("damaged");
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let settings = Settings {
            root: &self.root,
            cwd: PathBuf::from("/"),
            library_path: None,
            preload: None,
            secure: false,
        };
        let facts = facts(&file);
        let _ = probes(&file);
        if let Ok(resolution) = resolve(&file, &path, &settings) {
            assert!(resolution.failed_tries <= super::resolve::MAX_TRIES, "{what}");
        }
        facts
    }

    fn patched(&self, patches: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, value) in patches {
            bytes[*at..*at + value.len()].copy_from_slice(value);
        }
        bytes
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_has_a_problem() {
    let victim = Victim::new();
    assert_eq!(victim.read(&victim.bytes, "whole").unwrap().problems, [""; 0]);
    for end in (0..victim.bytes.len()).step_by(64) {
        match victim.read(&victim.bytes[..end], &format!("cut at {end}")) {
            Ok(facts) => assert!(!facts.problems.is_empty(), "cut at {end}"),
            Err(Error::Truncated { .. }) => assert!(end >= 4),
            Err(Error::NotElf { .. }) => assert_eq!(end, 0),
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let victim = Victim::new();
    let mut random = Random(0x5eed_1234_5678_9abc);
    let mut survived = 0;
    for round in 0..1000 {
        let mut bytes = victim.bytes.clone();
        // Headers and dynamic section matter most: two rounds of three stay in the first 2 KiB.
        let limit = if round % 3 == 0 { bytes.len() } else { 2048 };
        for _ in 0..1 + random.below(8) {
            let at = random.below(limit);
            bytes[at] = random.below(256) as u8;
        }
        survived += usize::from(victim.read(&bytes, &format!("round {round}")).is_ok());
    }
    assert!(survived > 100, "the flips leave something to read: {survived}");
}

#[test]
fn absurd_numbers_do_no_harm() {
    let victim = Victim::new();
    let max = u64::MAX.to_le_bytes();
    // e_phnum, e_phoff, e_shnum, e_shoff, e_shstrndx of a 64-bit header.
    let many_phdrs = victim.patched(&[(56, &[0xff, 0xff])]);
    let error = victim.read(&many_phdrs, "e_phnum").unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = victim.read(&victim.patched(&[(32, &max)]), "e_phoff").unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    let far = victim.read(&victim.patched(&[(40, &max)]), "e_shoff").unwrap();
    assert!(far.problems[0].contains("truncated"), "{:?}", far.problems);
    let _ = victim.read(&victim.patched(&[(60, &[0xff, 0xff])]), "e_shnum");
    let _ = victim.read(&victim.patched(&[(62, &[0xff, 0xff])]), "e_shstrndx");
    let shoff = u64::from_le_bytes(victim.bytes[40..48].try_into().unwrap()) as usize;
    let count_in_first = victim.patched(&[(60, &[0, 0]), (shoff + 32, &max)]);
    victim.read(&count_in_first, "section count in sh_size").unwrap();

    // Every word of the program headers and of the dynamic section, with three bad values.
    let phdrs = 64..64 + 56 * usize::from(victim.bytes[56]);
    let dynamic = output(Command::new("readelf").arg("-lW").arg(victim.dir.path().join("victim")));
    let dynamic = dynamic.lines().find(|l| l.trim().starts_with("DYNAMIC")).unwrap();
    let hex = |i: usize| {
        let text = dynamic.split_whitespace().nth(i).unwrap();
        usize::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    };
    let dynamic = hex(1)..hex(1) + hex(4);
    for at in phdrs.step_by(8).chain(dynamic.step_by(8)) {
        for value in [u64::MAX, i64::MAX as u64, victim.bytes.len() as u64 - 1] {
            let bytes = victim.patched(&[(at, &value.to_le_bytes())]);
            let _ = victim.read(&bytes, &format!("{value:#x} at {at}"));
        }
    }
}

#[test]
fn a_file_with_a_thousand_needs_is_bounded() {
    // Every entry of a large dynamic section says DT_NEEDED, and the search path has many folders.
    let dir = tempfile::tempdir().unwrap();
    let folders: Vec<String> = (0..2000).map(|i| format!("/none/{i}")).collect();
    let rpath = format!("-Wl,-rpath,{}", folders.join(":"));
    let path = gcc(&dir.path().join("p"), MAIN, &[&rpath, "-Wl,-z,norelro"]);
    let mut bytes = std::fs::read(&path).unwrap();
    let rows = 8000;
    let at = bytes.len().next_multiple_of(16);
    bytes.resize(at, 0);
    let phnum = usize::from(bytes[56]);
    // The original entries, then needs of ever other names.
    let old = (0..phnum).map(|i| 64 + 56 * i).find(|&p| bytes[p] == 2).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (offset, size) = (word(&bytes, old + 8) as usize, word(&bytes, old + 32) as usize);
    let mut table: Vec<u8> =
        bytes[offset..offset + size].chunks(16).take_while(|row| row[0] != 0).flatten().copied().collect();
    for i in 0..rows {
        table.extend(1u64.to_le_bytes());
        table.extend((i % 200 + 1u64).to_le_bytes());
    }
    // An address that no segment holds, so that the file offset counts.
    for (field, value) in [(8, at as u64), (16, 1 << 60), (32, table.len() as u64)] {
        bytes[old + field..old + field + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes.extend(&table);
    std::fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    let facts = facts(&file).unwrap();
    assert_eq!(facts.needed.len(), 4096);
    let root = Root::host().unwrap();
    let settings =
        Settings { root: &root, cwd: PathBuf::from("/"), library_path: None, preload: None, secure: false };
    let resolution = resolve(&file, &path, &settings).unwrap();
    assert!(resolution.failed_tries <= super::resolve::MAX_TRIES, "{}", resolution.failed_tries);
}
