//! How one reply is to behave, read from the model's name: `mock[-d<ms>][-c<chunks>][-g<ms>]`, such as `mock-d20-c50-g5`.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// `d`: before the first byte.
    pub delay: Duration,
    /// `c`: chunks of content in a stream.
    pub chunks: u64,
    /// `g`: between two chunks. Without it each chunk still is a write of its own.
    pub gap: Duration,
}

impl Plan {
    /// What a name does not say, and what it says wrongly, keeps its default.
    pub fn named(model: &str) -> Self {
        let mut plan = Self { delay: Duration::ZERO, chunks: 50, gap: Duration::ZERO };
        for part in model.split('-') {
            let Some((letter, number)) = part.split_at_checked(1) else { continue };
            let Ok(number) = number.parse() else { continue };
            match letter {
                "d" => plan.delay = Duration::from_millis(number),
                "c" => plan.chunks = number,
                "g" => plan.gap = Duration::from_millis(number),
                _ => {}
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_to_do() {
        let plan = Plan::named("mock-d20-c7-g5");
        assert_eq!(plan, Plan { delay: Duration::from_millis(20), chunks: 7, gap: Duration::from_millis(5) });
        assert_eq!(Plan::named("mock"), Plan { delay: Duration::ZERO, chunks: 50, gap: Duration::ZERO });
    }
}
