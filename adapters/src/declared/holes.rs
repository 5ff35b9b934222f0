//! Texts with `${…}` in them.

/// A piece of such a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// As it is.
    Fixed(String),
    /// What stands between `${` and `}`.
    Name(String),
}

/// Cuts a text at its `${…}`. `$${` stands for `${` itself.
///
/// # Errors
/// When a `${` has no end or nothing in it.
pub(super) fn holes(text: &str) -> Result<Vec<Hole>, String> {
    let (mut out, mut fixed, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, hole) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            fixed.push_str(before);
            fixed.push_str("${");
            rest = &hole[2..];
            continue;
        }
        let end = hole.find('}').ok_or("has a ${ without its }: write $${ for the text ${")?;
        let name = hole[2..end].trim();
        if name.is_empty() {
            return Err("has a ${} with nothing in it".to_owned());
        }
        fixed.push_str(before);
        if !fixed.is_empty() {
            out.push(Hole::Fixed(std::mem::take(&mut fixed)));
        }
        out.push(Hole::Name(name.to_owned()));
        rest = &hole[end + 1..];
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        out.push(Hole::Fixed(fixed));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_their_holes() {
        let fixed = |text: &str| Hole::Fixed(text.to_owned());
        let name = |text: &str| Hole::Name(text.to_owned());
        assert_eq!(holes("a${ b }c").unwrap(), [fixed("a"), name("b"), fixed("c")]);
        assert_eq!(holes("${a}${b}").unwrap(), [name("a"), name("b")]);
        assert_eq!(holes("costs $5, $${x}").unwrap(), [fixed("costs $5, ${x}")]);
        assert_eq!(holes("").unwrap(), []);
        assert!(holes("${").is_err() && holes("a${}").is_err());
    }
}
