//! What the place that values are shown on can show.

/// A screen, or what stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Its colours.
    pub colours: Colours,
    /// How it takes images, if it does.
    pub images: Option<Images>,
}

/// How many colours a screen has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// None: no escape codes at all.
    None,
    /// The eight of every terminal.
    Eight,
    /// The 256 of xterm.
    Palette,
    /// Any.
    Any,
}

/// A protocol for images in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// Kitty's.
    Kitty,
    /// iTerm2's.
    Iterm,
    /// DEC's sixels.
    Sixel,
}

impl Default for Screen {
    /// No terminal: 80 characters wide, without colours.
    fn default() -> Self {
        Self {
            width: 80,
            height: 24,
            colours: Colours::None,
            images: None,
        }
    }
}
