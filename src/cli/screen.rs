//! The terminal, by what it says of itself.

use std::io::IsTerminal;

use crate::report::{Colours, Images, Screen};

/// The terminal that standard output goes to, as it is now.
pub(super) fn screen() -> Screen {
    let plain = Screen::default();
    if !std::io::stdout().is_terminal() {
        return plain;
    }
    let (height, width) = console::Term::stdout()
        .size_checked()
        .map_or((plain.height, plain.width), |(height, width)| {
            (usize::from(height), usize::from(width))
        });
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    Screen {
        // A terminal that does not know its size says 0.
        width: if width == 0 { plain.width } else { width },
        height: if height == 0 { plain.height } else { height },
        colours: colours(variable),
        images: images(variable),
    }
}

/// How many colours the environment promises.
fn colours(variable: impl Fn(&str) -> String) -> Colours {
    let term = variable("TERM");
    if !variable("NO_COLOR").is_empty() || term.is_empty() || term == "dumb" {
        return Colours::None;
    }
    let any = matches!(variable("COLORTERM").as_str(), "truecolor" | "24bit")
        || term.ends_with("-direct")
        || [
            "xterm-kitty",
            "xterm-ghostty",
            "alacritty",
            "wezterm",
            "foot",
        ]
        .contains(&term.as_str());
    if any {
        Colours::Any
    } else if term.contains("256color") {
        Colours::Palette
    } else {
        Colours::Eight
    }
}

/// How the environment says images are taken. Inside tmux and screen they would not get through.
/// `TUREEN_IMAGES` (kitty, iterm, sixel, none) decides where it is set.
fn images(variable: impl Fn(&str) -> String) -> Option<Images> {
    let term = variable("TERM");
    match variable("TUREEN_IMAGES").as_str() {
        "kitty" => return Some(Images::Kitty),
        "iterm" => return Some(Images::Iterm),
        "sixel" => return Some(Images::Sixel),
        "none" => return None,
        _ => {}
    }
    let inside = !variable("TMUX").is_empty() || term.starts_with("screen");
    if inside || !variable("NO_COLOR").is_empty() {
        return None;
    }
    let program = variable("TERM_PROGRAM");
    if term == "xterm-kitty" || term == "xterm-ghostty" || !variable("KITTY_WINDOW_ID").is_empty() {
        Some(Images::Kitty)
    } else if program == "iTerm.app" || program == "WezTerm" {
        Some(Images::Iterm)
    } else if term.starts_with("foot")
        || term.starts_with("mlterm")
        || term.starts_with("contour")
        || term.contains("sixel")
    {
        Some(Images::Sixel)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> String + 'a {
        move |name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map_or(String::new(), |(_, value)| (*value).to_string())
        }
    }

    #[test]
    fn colours_are_as_the_terminal_says() {
        for (pairs, expected) in [
            (&[("TERM", "xterm")][..], Colours::Eight),
            (&[("TERM", "xterm-256color")], Colours::Palette),
            (
                &[("TERM", "tmux-256color"), ("COLORTERM", "truecolor")],
                Colours::Any,
            ),
            (&[("TERM", "xterm-kitty")], Colours::Any),
            (&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")], Colours::None),
            (
                &[("TERM", "dumb"), ("COLORTERM", "truecolor")],
                Colours::None,
            ),
            (&[], Colours::None),
        ] {
            assert_eq!(colours(environment(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn images_are_sent_only_where_they_are_understood() {
        for (pairs, expected) in [
            (&[("TERM", "xterm-256color")][..], None),
            (&[("TERM", "xterm-kitty")], Some(Images::Kitty)),
            (&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/x")], None),
            (&[("TERM", "foot")], Some(Images::Sixel)),
            (&[("TERM_PROGRAM", "iTerm.app")], Some(Images::Iterm)),
            (
                &[("TERM", "xterm"), ("TUREEN_IMAGES", "sixel")],
                Some(Images::Sixel),
            ),
            (&[("TERM", "foot"), ("TUREEN_IMAGES", "none")], None),
        ] {
            assert_eq!(images(environment(pairs)), expected, "{pairs:?}");
        }
    }
}
