//! Owns: base64 with the standard alphabet, for embeddings and recorded replies. Refuses to know: what the bytes mean.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0_u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

/// Line breaks are allowed, since recordings are often wrapped; padding is required.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let symbols: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if !symbols.len().is_multiple_of(4) {
        return Err("base64 must come in groups of four characters, padded with '='");
    }
    let padding = symbols.iter().rev().take(2).take_while(|s| **s == b'=').count();
    let kept = &symbols[..symbols.len() - padding];
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3);
    for group in kept.chunks(4) {
        let mut word = 0_u32;
        for (i, symbol) in group.iter().enumerate() {
            word |= digit(*symbol).ok_or("base64 has a character outside its alphabet")? << (18 - 6 * i);
        }
        bytes.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    Ok(bytes)
}

fn digit(symbol: u8) -> Option<u32> {
    let (base, first) = match symbol {
        b'A'..=b'Z' => (0, b'A'),
        b'a'..=b'z' => (26, b'a'),
        b'0'..=b'9' => (52, b'0'),
        b'+' => return Some(62),
        b'/' => return Some(63),
        _ => return None,
    };
    Some(base + u32::from(symbol - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn every_byte_survives_and_faults_are_named() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        assert_eq!(decode("Zm9v\nYmFy").unwrap(), b"foobar");
        assert!(decode("Zg").is_err());
        assert!(decode("Z===").is_err());
        assert!(decode("Zm9!").is_err());
    }
}
