//! A program behind a pseudo-terminal, and the screen it draws.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

/// Long enough for a busy machine; a test that passes never waits so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// As many lines as a session of the tests ever shows.
const ROWS: u16 = 300;

/// The program, its keyboard and its screen.
pub struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// The row of the last input.
    row: u16,
    /// All that came, as it came.
    pub raw: Vec<u8>,
}

impl Terminal {
    /// `tureen` in `folder`, on a terminal `width` wide with these variables besides.
    pub fn start(folder: &Path, width: u16, variables: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let ends = openpty(&size, None).unwrap();
        let end = |fd: &OwnedFd| fd.try_clone().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tureen"));
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("TERM", "xterm-256color")
            .env("HOME", folder.join("home"))
            .env("TUREEN_STORE", folder.join("store"))
            .envs(variables.iter().copied())
            .stdin(end(&ends.slave))
            .stdout(end(&ends.slave))
            .stderr(end(&ends.slave));
        // SAFETY: both calls may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                match nix::libc::ioctl(0, nix::libc::TIOCSCTTY as _, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().unwrap();
        drop(ends.slave);
        let mut reader = File::from(end(&ends.master));
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard: File::from(ends.master),
            output,
            screen: vt100::Parser::new(nonzero(ROWS), nonzero(width), 0),
            row: 0,
            raw: Vec::new(),
        }
    }

    /// The same, with its first prompt there.
    pub fn ready(folder: &Path, width: u16) -> Self {
        let mut terminal = Self::start(folder, width, &[]);
        terminal.until_prompt();
        terminal
    }

    /// Takes in what comes until `reached`.
    pub fn until(&mut self, what: &str, reached: impl Fn(&vt100::Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !reached(self.screen.screen()) {
            match self.output.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => {
                    self.raw.extend(&bytes);
                    self.screen.process(&bytes);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(why) => panic!("{what} did not come ({why}):\n{}", self.text()),
            }
        }
    }

    /// Waits for this text.
    pub fn until_text(&mut self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text));
    }

    /// Waits for an empty prompt below the last input.
    pub fn until_prompt(&mut self) {
        let row = self.row;
        self.until("the prompt", |screen| {
            let (at, column) = screen.cursor_position();
            let line = line(screen, at);
            let number = line.strip_suffix("> ").unwrap_or("-");
            at >= row && usize::from(column) == line.len() && number.parse::<u32>().is_ok()
        });
        self.row = self.screen.screen().cursor_position().0 + 1;
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line, sends it off and waits for the next prompt.
    pub fn enter(&mut self, input: &str) {
        self.send(input);
        self.send("\r");
        self.until_prompt();
    }

    /// What the screen shows, without space at the ends.
    pub fn text(&self) -> String {
        let contents = self.screen.screen().contents();
        let lines: Vec<&str> = contents.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_string()
    }

    /// The line the cursor is on.
    pub fn line(&self) -> String {
        let screen = self.screen.screen();
        line(screen, screen.cursor_position().0)
            .trim_end()
            .to_string()
    }

    /// Leaves, and waits for the end.
    pub fn quit(mut self) {
        self.send("\u{4}");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(screen: &vt100::Screen, row: u16) -> String {
    let (_, width) = screen.size();
    let end = screen.cursor_position().1;
    let text = screen.contents_between(row, 0, row, width.get());
    let padding = usize::from(end).saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(padding))
}

fn nonzero(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap()
}
