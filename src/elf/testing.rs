//! Small ELF files for tests, built with the compiler that the project needs anyway.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles C code. Fails the test where gcc is missing: it belongs to the setup.
pub(crate) fn gcc(output: &Path, code: &str, args: &[&str]) -> PathBuf {
    let source = output.with_extension("test.c");
    std::fs::write(&source, code).unwrap();
    let result = Command::new("gcc")
        .arg("-o")
        .arg(output)
        .arg(&source)
        .args(args)
        .output()
        .expect("gcc is part of the setup");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    output.to_owned()
}

/// A shared library that exports `int NAME(void)` and may need others.
pub(crate) fn library(output: &Path, function: &str, args: &[&str]) -> PathBuf {
    std::fs::create_dir_all(output.parent().unwrap()).unwrap();
    let soname = format!("-Wl,-soname,{}", output.file_name().unwrap().to_str().unwrap());
    let mut all = vec!["-shared", "-fPIC", "-Wl,--no-as-needed", &soname];
    all.extend(args);
    let function = function.replace(['-', '.'], "_");
    gcc(output, &format!("int {function}(void) {{ return 1; }}"), &all)
}

/// What a program prints.
pub(crate) fn output(command: &mut Command) -> String {
    let result = command.output().unwrap();
    String::from_utf8_lossy(&result.stdout).into_owned()
}

/// A small generator (xorshift), so that a failing case can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
