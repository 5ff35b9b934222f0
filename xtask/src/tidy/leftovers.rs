//! Rule: nothing half done stays: no `todo!`, `unimplemented!` or `dbg!`, in tests neither.

use super::Finding;
use super::source::Source;

const RULE: &str = "leftovers";
const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in MACROS {
        let message = format!("{name} was left behind: finish it or leave the feature out");
        findings.extend(
            source.all_matches(name).into_iter().map(|index| source.at(index, RULE, message.clone())),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::new("a/src/lib.rs", text)).len()
    }

    #[test]
    fn finished_code_passes() {
        assert_eq!(findings("// todo!()\nfn todo() { panic!(\"the log has a hole\") }"), 0);
    }

    #[test]
    fn what_was_left_behind_does_not() {
        assert_eq!(findings("fn a() { todo!() } fn b() { unimplemented!() } fn c() { dbg!(1); }"), 3);
    }
}
