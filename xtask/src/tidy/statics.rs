//! Rule: no state that lives as long as the process. Several nodes run in one process (in the simulator and in tests)
//! and must not meet there. Constants, and tables written as `static`, are no state.

use std::path::Path;

use super::Finding;
use super::source::Source;

const RULE: &str = "statics";

/// Files that may keep something per thread, each with a reason:
/// the simulator replaces the system's randomness for the threads of its own run.
const MAY_BE_PER_THREAD: &[&str] = &["sim/src/entropy.rs", "sim/src/entropy/mod.rs", "sim/src/detrand.rs"];

/// A type made of these only can hold no state.
const PLAIN: &[&str] = &["&", "'static", "str", "[", "]", "(", ")", ",", ";", "bool", "char"];
const PLAIN_NUMBERS: &[&str] =
    &["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

const MACROS: &[&str] = &["thread_local!", "lazy_static!", "task_local!"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<Finding> = source
        .matches("static")
        .into_iter()
        .filter(|&index| is_state(source, index))
        .map(|index| {
            let message = "state for the whole process: make it a field of what owns it, or a const";
            source.at(index, RULE, message)
        })
        .collect();
    if !MAY_BE_PER_THREAD.iter().any(|allowed| Path::new(allowed) == source.path) {
        for name in MACROS {
            let message = format!("{name} keeps hidden state: make it a field of what owns it and pass that");
            findings.extend(
                source.matches(name).into_iter().map(|index| source.at(index, RULE, message.clone())),
            );
        }
    }
    findings
}

fn is_state(source: &Source, index: usize) -> bool {
    let text = |index: usize| source.tokens.get(index).map_or("", |token| token.text.as_str());
    // an allocator has no other form; inside a macro such as thread_local! the macro is what is told
    if index >= 1 && text(index - 1) == "]" && text(index.saturating_sub(2)) == "global_allocator" {
        return false;
    }
    if matches!(text(index + 1), "||" | "|" | "move" | "async") || inside_macro(source, index) {
        return false;
    }
    if text(index + 1) == "mut" || text(index + 2) != ":" {
        return text(index + 1) == "mut";
    }
    let kind = source.tokens[index + 3..].iter().take_while(|token| token.text != "=");
    !kind.map(|token| token.text.as_str()).all(|word| {
        PLAIN.contains(&word)
            || PLAIN_NUMBERS.contains(&word)
            || word.chars().all(|c| c.is_ascii_digit() || c == '_')
    })
}

/// Whether a `static` stands in one of the macros that this rule reports by themselves.
fn inside_macro(source: &Source, index: usize) -> bool {
    MACROS.iter().flat_map(|name| source.matches(name)).any(|begin| {
        let end = super::lexer::after_closing(&source.tokens, begin + 2);
        (begin..end).contains(&index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn constants_tables_and_the_allocator_pass() {
        let text = "static NAME: &str = \"a\"; static TABLE: [&'static str; 2] = [\"a\", \"b\"];
            #[global_allocator] static A: System = System; fn f(x: &'static str) {} const B: AtomicU64 = z();";
        assert_eq!(findings("a/src/lib.rs", text), 0);
    }

    #[test]
    fn counters_locks_and_mutable_statics_do_not() {
        assert_eq!(findings("a/src/lib.rs", "static A: AtomicU64 = AtomicU64::new(0);"), 1);
        assert_eq!(findings("a/src/lib.rs", "pub static A: LazyLock<Mutex<u8>> = x();"), 1);
        assert_eq!(findings("a/src/lib.rs", "static mut A: u8 = 0;"), 1);
    }

    #[test]
    fn only_the_simulators_entropy_may_keep_something_per_thread() {
        let text = "thread_local! { static SEED: Cell<u64> = const { Cell::new(0) }; }";
        assert_eq!(findings("a/src/lib.rs", text), 1);
        assert_eq!(findings("sim/src/entropy.rs", text), 0);
    }
}
