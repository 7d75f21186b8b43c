//! Inputs from inputs: bytes changed here and there, parts moved, and what the format seals put right again.

use huey::testing::Random;

/// How an input is put together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Bytes,
    /// Entries, each behind its length as two bytes.
    Entries,
    /// The lines of an export, with the sum of them in the last one.
    Export,
    Text,
}

/// Numbers at which something may change.
const EDGES: [u64; 12] =
    [0, 1, 127, 128, 250, 251, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 62, u64::MAX >> 1, u64::MAX];
const WORDS: [&str; 22] = [
    "*",
    "/",
    "-",
    ",",
    "0",
    "59",
    "60",
    "MON",
    "DEC",
    "@yearly",
    "L",
    " ",
    "null",
    "-1",
    "[]",
    "{}",
    "\"",
    "true",
    "18446744073709551615",
    "4294967295",
    "9223372036854775807",
    "\\u0000",
];

/// A new input from one of those that are there.
pub(crate) fn mutated(form: Form, inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let (base, other) = (random.pick(inputs).clone(), random.pick(inputs));
    let mut parts = split(form, &base);
    let others = split(form, other);
    for _ in 0..=random.below(6) {
        match random.below(10) {
            // Whole parts.
            0 => drop_one(&mut parts, random),
            1 => insert(&mut parts, random.pick(&others).clone(), random),
            2 => {
                let again = random.pick(&parts).clone();
                insert(&mut parts, again, random);
            }
            3 => {
                let (one, another) = (random.below(parts.len()), random.below(parts.len()));
                parts.swap(one, another);
            }
            _ => {
                let at = random.below(parts.len());
                if let Some(part) = parts.get_mut(at) {
                    change(form, part, random.pick::<Vec<u8>>(&others), random);
                }
            }
        }
        if parts.is_empty() {
            parts.push(Vec::new());
        }
    }
    join(form, &parts)
}

fn drop_one(parts: &mut Vec<Vec<u8>>, random: &mut Random) {
    parts.remove(random.below(parts.len()));
}

fn insert(parts: &mut Vec<Vec<u8>>, part: Vec<u8>, random: &mut Random) {
    parts.insert(random.below(parts.len() + 1), part);
}

/// Changes one part.
fn change(form: Form, part: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(part.len() + 1);
    let upto = (at + 1 + random.below(16)).min(part.len());
    let from = random.below(other.len() + 1);
    let piece = other.get(from..(from + random.below(64)).min(other.len())).unwrap_or_default();
    match random.below(9) {
        0 => part.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => part.iter_mut().skip(at).take(1).for_each(|byte| *byte = u8::try_from(random.below(256)).unwrap_or(0)),
        2 => drop(part.drain(at.min(upto)..upto)),
        3 => drop(part.splice(at..at, piece.iter().copied())),
        4 => drop(part.splice(at.min(upto)..upto, piece.iter().copied())),
        5 => part.truncate(at),
        6 if matches!(form, Form::Bytes | Form::Entries) => {
            let number = varint(*random.pick(&EDGES));
            part.splice(at..(at + 1).min(part.len()), number);
        }
        6 => number_in_text(part, random),
        7 if matches!(form, Form::Text | Form::Export) => {
            part.splice(at..at, random.pick(&WORDS).bytes());
        }
        7 => {
            let room = part.len() - at;
            let number = random.pick(&EDGES).to_le_bytes();
            part.iter_mut().skip(at).zip(number.iter().take(room)).for_each(|(byte, new)| *byte = *new);
        }
        _ => {
            let again: Vec<u8> = part.get(at.min(upto)..upto).unwrap_or_default().repeat(1 + random.below(40));
            part.splice(at..at, again);
        }
    }
}

/// A number as the journal writes it.
fn varint(number: u64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    let (mark, many) = match number {
        0..=250 => return vec![bytes[0]],
        251..=0xffff => (251, 2),
        0x1_0000..=0xffff_ffff => (252, 4),
        _ => (253, 8),
    };
    std::iter::once(mark).chain(bytes.into_iter().take(many)).collect()
}

/// Replaces one of the numbers of a text.
fn number_in_text(part: &mut Vec<u8>, random: &mut Random) {
    let starts: Vec<usize> = (0..part.len())
        .filter(|at| {
            let digit = |at: usize| part.get(at).is_some_and(u8::is_ascii_digit);
            digit(*at) && !at.checked_sub(1).is_some_and(digit)
        })
        .collect();
    if starts.is_empty() {
        return;
    }
    let at = *random.pick(&starts);
    let digits = part.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
    part.splice(at..at + digits, random.pick(&EDGES).to_string().into_bytes());
}

fn split(form: Form, input: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = match form {
        Form::Bytes | Form::Text => vec![input.to_vec()],
        Form::Export => input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        Form::Entries => {
            let (mut parts, mut rest) = (Vec::new(), input);
            while let Some((length, behind)) = rest.split_first_chunk::<2>() {
                let (part, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)).min(behind.len()));
                parts.push(part.to_vec());
                rest = behind;
            }
            parts
        }
    };
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    parts
}

fn join(form: Form, parts: &[Vec<u8>]) -> Vec<u8> {
    match form {
        Form::Bytes | Form::Text => parts.concat(),
        Form::Export => sealed(parts),
        Form::Entries => parts
            .iter()
            .flat_map(|part| {
                let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
                length.to_le_bytes().into_iter().chain(part.iter().copied().take(usize::from(length)))
            })
            .collect(),
    }
}

/// The lines of an export with a last one that fits them, as `docs/files.md` describes it.
fn sealed(lines: &[Vec<u8>]) -> Vec<u8> {
    const END: &[u8] = b"{\"end\":";
    let kept: Vec<&Vec<u8>> = lines.iter().filter(|line| !line.starts_with(END)).collect();
    let mut text: Vec<u8> = kept.iter().flat_map(|line| line.iter().copied()).collect();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let check = text.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let items = kept.len().saturating_sub(1);
    text.extend_from_slice(format!("{{\"end\":{{\"items\":{items},\"check\":\"{check:016x}\"}}}}\n").as_bytes());
    text
}
