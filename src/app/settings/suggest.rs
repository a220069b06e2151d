//! Owns: "did you mean", for names that an operator mistyped.
//! Refuses to know: what the names stand for.

/// `did you mean 'port'?`, or what is allowed, as the end of a sentence.
pub(in crate::app) fn suggest(wrong: &str, allowed: &[&str]) -> String {
    let near = allowed.iter().map(|name| (distance(wrong, name), name)).min();
    match near {
        Some((distance, name)) if distance <= (name.chars().count() / 3).max(1) => format!("did you mean '{name}'?"),
        _ => format!("allowed: {}", allowed.join(", ")),
    }
}

/// Edits (insert, delete, replace, swap neighbours) that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggest("prot", &["host", "port"]), "did you mean 'port'?");
        assert_eq!(suggest("api-key", &["base_url", "api_key"]), "did you mean 'api_key'?");
        assert_eq!(suggest("colour", &["host", "port"]), "allowed: host, port");
    }
}
