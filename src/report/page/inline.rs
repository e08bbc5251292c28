//! Drawings in the page itself.
//!
//! A script can write any SVG into its folder, and in a page that could load and run what it
//! likes. So only what figures of our own consist of gets in: these elements, these attributes, no
//! references but to the drawing's own clips.

use crate::report::escaped;

const ELEMENTS: [&str; 14] = [
    "svg", "g", "defs", "clipPath", "rect", "circle", "line", "path", "polyline", "polygon",
    "text", "tspan", "title", "style",
];

const ATTRIBUTES: [&str; 34] = [
    "xmlns",
    "width",
    "height",
    "viewBox",
    "id",
    "class",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "ry",
    "d",
    "points",
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-opacity",
    "opacity",
    "transform",
    "clip-path",
    "font-size",
    "font-family",
    "font-weight",
    "font-style",
    "text-anchor",
    "text-decoration",
];

/// The drawing as a part of the page, the `number`-th; none where it has what drawings of our own
/// have not.
pub(super) fn inlined(svg: &str, name: &str, number: usize) -> Option<String> {
    let mut out = String::with_capacity(svg.len() + 100);
    let mut rest = svg;
    let mut style = false;
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        if !style {
            out.push_str(text);
        }
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = &comment[comment.find("-->")? + 3..];
            continue;
        }
        let end = rest.find('>')?;
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let (name_, attributes) = parted(tag.trim_end_matches('/').trim_start_matches('/'))?;
        // The page has a style of its own.
        if name_ == "style" {
            style = !tag.starts_with('/');
            continue;
        }
        if style {
            return None;
        }
        out.push('<');
        if tag.starts_with('/') {
            out.push('/');
        }
        out.push_str(name_);
        if name_ == "svg" && !tag.starts_with('/') {
            out.push_str(&format!(" role=\"img\" aria-label=\"{}\"", escaped(name)));
        }
        for (key, value) in attributes {
            // The clips of several drawings would have one name.
            let value = match (key, value.strip_prefix("url(#")) {
                ("id", _) => format!("f{number}-{value}"),
                (_, Some(id)) => format!("url(#f{number}-{id}"),
                _ => value.to_string(),
            };
            out.push_str(&format!(" {key}=\"{value}\""));
        }
        out.push_str(if tag.ends_with('/') { "/>" } else { ">" });
    }
    // No more than space may follow, and a drawing it must be.
    (rest.trim().is_empty() && out.trim_start().starts_with("<svg")).then_some(out)
}

/// An element's name and attributes, where all of them are known.
fn parted(tag: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    if !ELEMENTS.contains(&name) {
        return None;
    }
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some((name, attributes));
        }
        let (key, value) = rest.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        let own = value.starts_with("url(#") && value.ends_with(')');
        let plain = !value.contains("url(") && !value.contains(['<', '>']);
        if !ATTRIBUTES.contains(&key) || !(own && value.matches("url(").count() == 1 || plain) {
            return None;
        }
        attributes.push((key, value));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::inlined;

    #[test]
    fn drawings_of_our_own_get_in_with_their_own_names() {
        let svg = "<svg width=\"9\"><!-- made by --><style>g{}</style><defs><clipPath id=\"c\">\
                   <rect x=\"1\" /></clipPath></defs><g clip-path=\"url(#c)\"><title>a &lt; b</title></g></svg>\n";
        assert_eq!(
            inlined(svg, "fig", 2).unwrap(),
            "<svg role=\"img\" aria-label=\"fig\" width=\"9\"><defs><clipPath id=\"f2-c\"><rect x=\"1\"/>\
             </clipPath></defs><g clip-path=\"url(#f2-c)\"><title>a &lt; b</title></g></svg>"
        );
    }

    #[test]
    fn what_could_act_or_load_stays_out() {
        for evil in [
            "<svg><script>x</script></svg>",
            "<svg onload=\"x\"></svg>",
            "<svg><image href=\"http://a\"/></svg>",
            "<svg><rect fill=\"url(http://a)\"/></svg>",
            "<svg><rect fill=\"url(#a) url(http://b)\"/></svg>",
            "<svg><style>@import 'x';<g></g></style></svg>",
            "<svg><foreignObject></foreignObject></svg>",
            "<svg><a href='x'></a></svg>",
            "<svg><rect fill=red></rect></svg>",
            "<p>no drawing</p>",
            "<svg></svg><svg",
            "<svg></svg>text",
            "",
        ] {
            assert!(inlined(evil, "fig", 1).is_none(), "{evil}");
        }
    }
}
