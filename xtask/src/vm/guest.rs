//! One boot: qemu's software emulation, the console on one serial line, what was recorded on another.

use super::fresh;
use crate::corpus::roots::output;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than this is a hang, even on a machine that does much else. Alone it takes a minute.
const LIMIT: Duration = Duration::from_secs(600);

/// Boots, waits for the end, and unpacks what was sent into a folder. How many seconds it took.
pub fn boot(kernel: &Path, image: &Path, out: &Path) -> Result<f64> {
    fresh(out)?;
    let (console, sent) = (out.join("console"), out.join("sent.tar.gz"));
    let begin = Instant::now();
    // Both of the guest's CPUs in one thread: in threads of their own, one may execute code that the other has patched
    // already. Kernels patch themselves for every tracepoint and uprobe that is turned on, and then died of the
    // breakpoint that stands there meanwhile (int3 in __schedule), or hung, once in some ten boots.
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1024"])
        .args(["-display", "none", "-monitor", "none", "-nic", "none", "-nodefaults", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        // No test of the timer: a host that gives no CPU for a moment fails it, and the kernel panics.
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
        .args(["-serial", &format!("file:{}", console.display())])
        .args(["-serial", &format!("file:{}", sent.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(out.join("qemu"))?)
        .spawn()
        .context("qemu-system-x86_64")?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("no end after {} s; its console: {}", LIMIT.as_secs(), last(&console));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        bail!("qemu ended with {status}: {}", last(&out.join("qemu")));
    }
    output(Command::new("tar").arg("-xzf").arg(&sent).arg("-C").arg(out))
        .with_context(|| format!("nothing whole came of it; its console: {}", last(&console)))?;
    Ok(begin.elapsed().as_secs_f64())
}

/// The last lines of a file, in one.
fn last(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
