//! Which program an image is: by what its ELF file shows, else by its resolved path; never by comm.

use super::facts::Image;
use crate::trace::schema::Confidence;

/// What is known to start others in a way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything else.
    Other,
    /// CPython.
    Python,
    /// Node.
    Node,
    /// A Go program.
    Go,
    /// A Rust program.
    Rust,
    /// A Java virtual machine.
    Jvm,
    /// Ruby.
    Ruby,
    /// Perl.
    Perl,
    /// PHP.
    Php,
    /// A shell.
    Shell(Shell),
}

/// Shells by how they start others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    /// GNU bash.
    Bash,
    /// Debian's dash.
    Dash,
    /// The shell in busybox.
    Busybox,
    /// zsh.
    Zsh,
    /// The MirBSD Korn shell and its kin.
    Mksh,
    /// ksh93 and other Korn shells.
    Ksh,
    /// csh and tcsh.
    Tcsh,
    /// fish.
    Fish,
    /// A file named `sh` that is no link to any of them.
    Sh,
}

impl Shell {
    /// All.
    #[cfg(test)]
    pub(super) const ALL: [Self; 9] = [
        Self::Bash,
        Self::Dash,
        Self::Busybox,
        Self::Zsh,
        Self::Mksh,
        Self::Ksh,
        Self::Tcsh,
        Self::Fish,
        Self::Sh,
    ];

    /// Its name as a library.
    pub(super) fn library(self) -> Option<&'static str> {
        Some(match self {
            Self::Bash => "bash",
            Self::Dash => "dash",
            Self::Busybox => "busybox",
            Self::Zsh => "zsh",
            Self::Mksh => "mksh",
            Self::Ksh => "ksh",
            Self::Tcsh => "tcsh",
            Self::Fish => "fish",
            Self::Sh => return None,
        })
    }
}

/// An image with its kind and how sure that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program<'a> {
    /// The image.
    pub(super) image: Option<&'a Image>,
    /// Last component of the executable's path, or the applet's name in a multi-call binary.
    pub(super) name: &'a str,
    /// What it is.
    pub(super) kind: Kind,
    /// How sure `kind` is: a fact of the ELF file, a name, or a name that the ELF file does not bear out.
    pub(super) trust: Confidence,
}

/// Last component of a path, without the kernel's mark of a deleted file.
pub(super) fn base(path: &str) -> &str {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

impl<'a> Program<'a> {
    /// Looks an image up.
    pub(super) fn of(image: Option<&'a Image>) -> Self {
        let nothing = Self { image, name: "", kind: Kind::Other, trust: Confidence::Guess };
        let Some(i) = image else { return nothing };
        let file = i.exe.as_deref().map_or("", base);
        let name = match file {
            "busybox" | "busybox.static" | "toybox" | "coreutils" => applet(i).unwrap_or(file),
            _ => file,
        };
        let multi_call = name != file;
        if i.misnamed == Some(true) {
            // Another program of that name: what it really is, its runtime may tell.
            let runtime = i.runtime.as_deref().and_then(by_runtime);
            let (kind, trust) =
                runtime.map_or((Kind::Other, Confidence::Guess), |k| (k, Confidence::Certain));
            return Self { kind, trust, ..nothing };
        }
        if let Some(kind) = i.runtime.as_deref().and_then(by_runtime) {
            return Self { name, kind, trust: Confidence::Certain, ..nothing };
        }
        let kind = if multi_call || file == "busybox" {
            match name {
                "sh" | "ash" | "bash" | "hush" => Kind::Shell(Shell::Busybox),
                _ => Kind::Other,
            }
        } else {
            by_name(file)
        };
        let analysed = i.linkage.is_some();
        let trust = match kind {
            Kind::Other => Confidence::Guess,
            // The ELF reader knows these runtimes; where it read the file and saw none, the name is
            // all there is, and names are free.
            Kind::Python | Kind::Node | Kind::Jvm | Kind::Ruby | Kind::Go | Kind::Rust if analysed => {
                Confidence::Guess
            }
            _ if borne_in_vain(i, name) => Confidence::Guess,
            _ => Confidence::Likely,
        };
        Self { name, kind, trust, ..nothing }
    }

    /// Is it that kind?
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Its file was out of reach: it had ended before it was looked at, in another root than ours. Its name
    /// is all that is known, and names are free.
    pub(super) fn is_unread(&self) -> bool {
        self.image.is_some_and(|i| i.linkage.is_none())
    }

    /// How far its name is to be believed: the ELF files of some programs show what they are, and one
    /// that does not is perhaps another program of that name.
    pub(super) fn name_trust(&self) -> Confidence {
        match self.image {
            Some(i) if i.linkage.is_none() || borne_in_vain(i, self.name) => Confidence::Guess,
            _ => Confidence::Likely,
        }
    }

    /// The shell that it is.
    pub(super) fn shell(&self) -> Option<Shell> {
        match self.kind {
            Kind::Shell(s) => Some(s),
            _ => None,
        }
    }

    /// A program in Python that PyInstaller made: its interpreter is itself, after a boot loader in C.
    pub(super) fn is_frozen(&self) -> bool {
        self.image.is_some_and(|i| i.program.as_deref() == Some("pyinstaller"))
    }

    /// Its arguments.
    pub(super) fn argv(&self) -> &'a [String] {
        self.image.and_then(|i| i.argv.as_deref()).unwrap_or_default()
    }

    /// Its arguments, for people.
    pub(super) fn shown(&self) -> &'a [String] {
        self.image.and_then(|i| i.shown()).unwrap_or_default()
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> &'a str {
        self.image.and_then(|i| i.exe.as_deref()).unwrap_or("an unknown program")
    }

    /// Both are one file.
    pub(super) fn same_file(&self, other: &Program<'_>) -> bool {
        let file = |p: &Program<'_>| p.image.and_then(|i| i.file);
        matches!((file(self), file(other)), (Some(a), Some(b)) if a == b)
    }

    /// The C library that it is linked with.
    pub(super) fn libc(&self) -> Libc {
        let Some(i) = self.image else {
            return Libc::Unknown;
        };
        match i.interpreter.as_deref().map(base) {
            Some(l) if l.starts_with("ld-musl") => Libc::Musl,
            Some(l) if l.starts_with("ld-linux") || l.starts_with("ld64.so") || l == "ld.so.1" => Libc::Glibc,
            Some(_) => Libc::Unknown,
            None => match i.runtime.as_deref() {
                Some(r) if r.starts_with("musl") => Libc::Musl,
                Some(r) if r.starts_with("glibc") => Libc::Glibc,
                _ => Libc::Unknown,
            },
        }
    }

    /// Python's version, from the ELF facts or the executable's name.
    pub(super) fn python_version(&self) -> Option<(u32, u32)> {
        let from = |s: &str| {
            let (major, rest) = s.split_once('.')?;
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            Some((major.parse().ok()?, rest.get(..digits)?.parse().ok()?))
        };
        self.image
            .and_then(|i| i.runtime.as_deref())
            .and_then(|r| r.strip_prefix("cpython "))
            .and_then(from)
            .or_else(|| self.name.strip_prefix("python").and_then(from))
    }
}

/// The C library of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Libc {
    /// Static without a mark, or not analysed.
    Unknown,
    /// GNU.
    Glibc,
    /// musl.
    Musl,
}

/// The applet that a multi-call binary runs as: its first argument's name, or the second's.
fn applet(image: &Image) -> Option<&str> {
    let argv = image.argv.as_deref()?;
    let zero = base(argv.first()?).trim_start_matches('-');
    match zero {
        "busybox" | "busybox.static" | "toybox" | "coreutils" => argv.get(1).map(String::as_str),
        _ => Some(zero),
    }
}

/// The name is that of a program which its ELF file would show, and the file was read and does not. Old
/// ones (GNU make before 4.0), and such as were built to be small, do not either. What is static exports
/// nothing.
fn borne_in_vain(image: &Image, name: &str) -> bool {
    let rust = image.runtime.as_deref() == Some("rust");
    // What was written again in Rust under an old name; its own programs are judged by `misnamed`.
    if rust && image.misnamed.is_none() && !matches!(name, "sudo" | "cargo" | "just" | "fd" | "fdfind") {
        return true;
    }
    // Its imports are that program's, which costs about as much as being it.
    if image.misnamed == Some(false) && !matches!(name, "bash" | "rbash" | "zsh" | "zsh5") {
        return false;
    }
    let program = match name {
        "bash" | "rbash" => "bash",
        "zsh" | "zsh5" => "zsh",
        "make" | "gmake" => "make",
        "nginx" | "openresty" | "tengine" | "angie" => "nginx",
        "postgres" | "postmaster" => "postgres",
        // The one in Rust takes its place in some distributions.
        "sudo" if image.runtime.as_deref() != Some("rust") => "sudo",
        _ => return false,
    };
    image.linkage.as_deref() == Some("dynamic") && image.program.as_deref() != Some(program)
}

fn by_runtime(runtime: &str) -> Option<Kind> {
    Some(match runtime.split([' ', '-', '/']).next()? {
        "cpython" | "python" => Kind::Python,
        "node" => Kind::Node,
        "go" => Kind::Go,
        "rust" => Kind::Rust,
        "jvm" | "java" => Kind::Jvm,
        "ruby" => Kind::Ruby,
        "perl" => Kind::Perl,
        "php" => Kind::Php,
        // musl, glibc: the C library of a static program, not a runtime that starts others.
        _ => return None,
    })
}

/// `python`, `python3`, `python3.11`, `python3.13t`, `python2.7-dbg`: the name and a version.
fn versioned(name: &str, stem: &str) -> bool {
    let Some(rest) = name.strip_prefix(stem) else {
        return false;
    };
    let rest = rest.strip_suffix("-dbg").unwrap_or(rest);
    let rest = rest.strip_suffix(|c: char| c == 'd' || c == 't').filter(|r| !r.is_empty()).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn by_name(name: &str) -> Kind {
    match name {
        "bash" | "rbash" | "bash-static" => Kind::Shell(Shell::Bash),
        "dash" => Kind::Shell(Shell::Dash),
        "ash" => Kind::Shell(Shell::Busybox),
        "zsh" | "zsh5" | "zsh-static" => Kind::Shell(Shell::Zsh),
        "mksh" | "mksh-static" | "lksh" | "pdksh" | "oksh" | "loksh" => Kind::Shell(Shell::Mksh),
        "ksh" | "ksh93" | "ksh2020" | "yash" => Kind::Shell(Shell::Ksh),
        "tcsh" | "csh" | "bsd-csh" => Kind::Shell(Shell::Tcsh),
        "fish" => Kind::Shell(Shell::Fish),
        "sh" => Kind::Shell(Shell::Sh),
        "node" | "nodejs" => Kind::Node,
        "java" => Kind::Jvm,
        "php-cgi" | "php-fpm" => Kind::Php,
        _ if versioned(name, "python") => Kind::Python,
        _ if versioned(name, "ruby") => Kind::Ruby,
        _ if versioned(name, "perl") => Kind::Perl,
        _ if versioned(name, "php") || versioned(name, "php-fpm") || versioned(name, "php-cgi") => Kind::Php,
        _ if name.starts_with("zsh-") && versioned(name, "zsh-") => Kind::Shell(Shell::Zsh),
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(exe: &str, runtime: Option<&str>, linkage: Option<&str>) -> Image {
        Image {
            exe: Some(exe.into()),
            runtime: runtime.map(Into::into),
            linkage: linkage.map(Into::into),
            ..Image::default()
        }
    }

    #[test]
    fn an_elf_fact_is_certain_a_name_is_likely_and_a_name_that_the_file_denies_a_guess() {
        for (exe, runtime, linkage, kind, trust) in [
            ("/usr/bin/python3.11", Some("cpython 3.11"), Some("dynamic"), Kind::Python, Confidence::Certain),
            ("/opt/app/server", Some("cpython 3.12"), Some("dynamic"), Kind::Python, Confidence::Certain),
            ("/usr/bin/python3.11", None, None, Kind::Python, Confidence::Likely),
            ("/tmp/python3", None, Some("dynamic"), Kind::Python, Confidence::Guess),
            ("/tmp/python3", Some("go 1.24"), Some("static"), Kind::Go, Confidence::Certain),
            ("/tmp/bash", Some("rust"), Some("dynamic"), Kind::Rust, Confidence::Certain),
            ("/tmp/bash", None, Some("dynamic"), Kind::Shell(Shell::Bash), Confidence::Guess),
            ("/tmp/bash", None, Some("static"), Kind::Shell(Shell::Bash), Confidence::Likely),
            ("/usr/bin/pythonista", None, None, Kind::Other, Confidence::Guess),
            ("/usr/bin/bash (deleted)", None, None, Kind::Shell(Shell::Bash), Confidence::Likely),
            ("/srv/php-fpm8.2", None, None, Kind::Php, Confidence::Likely),
            ("/srv/python3.13t", None, None, Kind::Python, Confidence::Likely),
            ("/srv/x", Some("musl static"), Some("static"), Kind::Other, Confidence::Guess),
        ] {
            let i = image(exe, runtime, linkage);
            let p = Program::of(Some(&i));
            assert_eq!((p.kind, p.trust), (kind, trust), "{exe} {runtime:?}");
        }
    }

    #[test]
    fn python_versions_come_from_the_runtime_or_the_name() {
        for (exe, runtime, want) in [
            ("/x/python3.11", Some("cpython 3.13"), Some((3, 13))),
            ("/x/python3.11", None, Some((3, 11))),
            ("/x/python3.14t", None, Some((3, 14))),
            ("/x/python2.7", None, Some((2, 7))),
            ("/x/python3", None, None),
            ("/x/python3", Some("cpython"), None),
            ("/x/python99999999999.1", None, None),
        ] {
            let i = image(exe, runtime, None);
            assert_eq!(Program::of(Some(&i)).python_version(), want, "{exe}");
        }
    }

    #[test]
    fn an_applet_has_the_name_that_it_was_called_by() {
        for (argv, name, kind) in [
            (vec!["sh", "-c", "x"], "sh", Kind::Shell(Shell::Busybox)),
            (vec!["busybox", "sh"], "sh", Kind::Shell(Shell::Busybox)),
            (vec!["-sh"], "sh", Kind::Shell(Shell::Busybox)),
            (vec!["/bin/timeout", "3"], "timeout", Kind::Other),
        ] {
            let mut i = image("/bin/busybox", None, None);
            i.argv = Some(argv.into_iter().map(String::from).collect());
            let p = Program::of(Some(&i));
            assert_eq!((p.name, p.kind), (name, kind));
        }
    }
}
