//! Child processes that never outlive us, each in a process group of its own and killed as a group.
//!
//! A [`Group`] stops its processes when dropped. That does not help when we are killed ourselves (Ctrl-C of a
//! test, SIGKILL of the harness), so every group is also told to the warden: a shell that reads a pipe from us
//! and, when the pipe closes, ends whatever is still registered and deletes what was to be deleted. Nothing
//! here waits for ever.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

pub use rustix::process::Signal;

use crate::failure::{Doing, Failure};

/// A child and all that it starts, unless that leaves the group.
pub struct Group {
    child: Child,
    name: String,
    polite: Signal,
    patience: Duration,
    ended: Option<ExitStatus>,
    mark: Option<String>,
    stopped: bool,
}

impl Group {
    /// Starts a program as the leader of a group of its own. `polite` asks it to stop; when it has not within
    /// `patience`, it is killed.
    pub fn spawn(
        name: &str,
        command: &mut Command,
        polite: Signal,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let child = command.process_group(0).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = child.doing(format!("start {name} ({program})"))?;
        let group = Self {
            child,
            name: name.to_owned(),
            polite,
            patience,
            ended: None,
            mark: None,
            stopped: false,
        };
        Warden::tell(&format!("group {}", group.registered()));
        Ok(group)
    }

    /// As [`Group::spawn`], for a program whose children leave its group (cargo lambda starts each function in a
    /// group of its own): all of them carry a mark in their environment and are found by it where there is
    /// a `/proc`.
    pub fn spawn_marked(
        name: &str,
        command: &mut Command,
        polite: Signal,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let mark = format!("ARCADIA_STACK={}", uuid::Uuid::new_v4());
        if let Some((variable, value)) = mark.split_once('=') {
            command.env(variable, value);
        }
        let mut group = Self::spawn(name, command, polite, patience)?;
        Warden::tell(&format!("mark {mark}"));
        group.mark = Some(mark);
        Ok(group)
    }

    /// How the warden knows it: signal and id.
    fn registered(&self) -> String {
        format!("{}:{}", self.polite.as_raw(), self.pid())
    }

    /// The leader's process id, which is the group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The leader's end, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal to the whole group. Once its end has been taken note of, its number may be somebody else's.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_some() {
            return;
        }
        // A group that is already gone is what was wanted.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Waits at most this long for the leader to end.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if start.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the leader has ended, without taking note of it: that would free its number.
    fn is_over(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            waitid(WaitId::Pid(Pid::from_child(&self.child)), options),
            Ok(None)
        )
    }

    /// Asks, waits, kills. Called again it does nothing.
    pub fn stop(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        if self.ended.is_none() {
            self.signal(self.polite);
            let start = Instant::now();
            while !self.is_over() && start.elapsed() < self.patience {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The leader may be gone and its children not. Until it is reaped, below, the number is still its own.
            self.signal(Signal::KILL);
            self.wait(Duration::from_secs(5));
        }
        if let Some(mark) = &self.mark {
            kill_marked(mark);
        }
        Warden::tell(&format!("gone {}", self.registered()));
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Kills whoever carries this in the environment it was started with.
fn kill_marked(mark: &str) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Has a file or folder deleted at our end, however we end. The owner deletes it in the ordinary case.
pub fn delete_at_the_end(path: &Path) {
    Warden::tell(&format!("path {}", path.display()));
}

struct Warden {
    _child: Child,
    pipe: ChildStdin,
}

static WARDEN: Mutex<Option<Warden>> = Mutex::new(None);

/// Each its polite signal first, KILL two seconds later. (`kill -15 -- -7` is an error in dash, `kill -s` is not.)
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
groups=' '; paths=''; marks=''
while read -r verb what; do
  case $verb in
    group) groups="$groups$what " ;;
    gone)
      case $groups in *" $what "*) groups="${groups%% "$what" *} ${groups#* "$what" }" ;; esac ;;
    mark) marks="$marks$what " ;;
    path) paths="$paths$what
" ;;
  esac
done
for group in $groups; do kill -s "${group%%:*}" -- "-${group#*:}"; done
[ "$groups" = ' ' ] || sleep 2
for group in $groups; do kill -s KILL -- "-${group#*:}"; done
for mark in $marks; do
  for environ in $(grep -alsze "^$mark$" /proc/[0-9]*/environ); do
    pid=${environ#/proc/}; kill -s KILL "${pid%/environ}"
  done
done
printf '%s' "$paths" | while read -r path; do rm -rf -- "$path"; done
"#;

impl Warden {
    fn tell(line: &str) {
        let Ok(mut warden) = WARDEN.lock() else { return };
        if warden.is_none() {
            *warden = Self::start();
        }
        if let Some(warden) = warden.as_mut() {
            // Without a warden an ordinary end still tidies up.
            let _ = writeln!(warden.pipe, "{line}");
        }
    }

    fn start() -> Option<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "harness-warden"])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let pipe = child.stdin.take()?;
        Some(Self { _child: child, pipe })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the warden's script on these lines and says whether it came to its end.
    fn warden(lines: &str) -> bool {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }

    #[test]
    fn the_warden_ends_what_is_registered_and_nothing_else() {
        let sleeper = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (mut mine, mut gone) = (sleeper(), sleeper());
        let file = tempfile::NamedTempFile::new().unwrap();
        let (one, other) = (mine.id(), gone.id());
        // Somebody says more often than needed that it has gone.
        let often = format!("gone 15:{other}\n").repeat(500);
        let path = file.path().display();
        assert!(warden(&format!(
            "group 15:{other}\ngroup 15:{one}\n{often}path {path}\n"
        )));
        assert!(mine.try_wait().unwrap().is_some(), "registered, and still there");
        assert!(
            gone.try_wait().unwrap().is_none(),
            "not registered any more, and ended"
        );
        assert!(!file.path().exists());
        gone.kill().unwrap();
        gone.wait().unwrap();
    }

    #[test]
    fn a_group_that_does_not_listen_is_killed_with_its_children() {
        let script = "trap '' TERM; sleep 600 & echo $!; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let patience = Duration::from_millis(100);
        let mut group = Group::spawn("deaf", &mut command, Signal::TERM, patience).unwrap();
        let mut line = String::new();
        let stdout = group.child().stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        group.stop();
        group.stop();
        let child = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        // It may stay a zombie until somebody reaps it; it does not run.
        let state = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
}
