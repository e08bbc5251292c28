//! Words of other languages, and what they are here.

const WORDS: &[(&str, &str)] = &[
    ("True", "true"),
    ("False", "false"),
    ("None", "()"),
    ("null", "()"),
    ("nil", "()"),
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("def", "fn name(x) { ... }"),
    ("function", "fn name(x) { ... }"),
    ("lambda", "|x| ..."),
    ("elif", "else if"),
    ("elseif", "else if"),
    ("pass", "{ }"),
    ("del", "map.remove(key)"),
    ("match", "switch"),
    ("case", "switch"),
    ("except", "try { ... } catch (e) { ... }"),
    ("raise", "throw"),
    ("from", "import \"module\" as name;"),
    ("var", "let"),
    ("self", "this"),
    ("foreach", "for"),
    ("yield", "a list or a closure"),
];

/// What a word of another language is here.
pub(super) fn here(word: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(foreign, _)| *foreign == word);
    found.map(|(_, own)| *own)
}
