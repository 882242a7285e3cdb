//! Differences on differences, composed before a single byte of content is built.

/// The most pieces that a composed content may consist of: copies of copies could ask for more than memory holds.
const MOST_PIECES: usize = 4 << 20;

/// First so many inserted bytes, then so many copied from the base's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub insert: u32,
    pub copy: u32,
    pub from: u32,
}

/// A content in terms of another one. Its steps give `length` bytes in sum and take all of `inserted`.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub length: usize,
    pub steps: Vec<Step>,
    pub inserted: Vec<u8>,
}

/// A part of the content that is being built.
#[derive(Clone, Copy)]
struct Piece {
    /// The layer whose inserted bytes it is from; otherwise it is from the content below all layers looked at so far.
    inserted: Option<u32>,
    from: u32,
    length: u32,
}

/// The content of the first layer, the last of which stands on `whole`. The error says what is wrong.
pub(super) fn build(layers: &[&Layer], whole: &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = layers.first().map_or(whole.len(), |layer| layer.length);
    let mut pieces = vec![Piece {
        inserted: None,
        from: 0,
        length: u32::try_from(length).map_err(|_| "it is too large")?,
    }];
    for (index, layer) in layers.iter().enumerate() {
        let below = layers.get(index + 1).map_or(whole.len(), |below| below.length);
        pieces = through(&pieces, index as u32, layer, below)?;
    }
    let mut bytes = Vec::with_capacity(length);
    for piece in pieces {
        let source = piece.inserted.map_or(whole, |layer| &layers[layer as usize].inserted);
        let from = piece.from as usize;
        bytes.extend_from_slice(&source[from..from + piece.length as usize]);
    }
    Ok(bytes)
}

/// The same pieces, those of this layer's content replaced by what they are made of. `below` is how many bytes the
/// content has on which the layer stands.
fn through(pieces: &[Piece], index: u32, layer: &Layer, below: usize) -> Result<Vec<Piece>, &'static str> {
    // The layer's own pieces, with where in its content each begins.
    let mut starts: Vec<u32> = Vec::with_capacity(layer.steps.len() * 2);
    let mut own: Vec<Piece> = Vec::with_capacity(layer.steps.len() * 2);
    let (mut at, mut inserted) = (0_u32, 0_u32);
    for step in &layer.steps {
        if step.insert > 0 {
            starts.push(at);
            own.push(Piece {
                inserted: Some(index),
                from: inserted,
                length: step.insert,
            });
            (at, inserted) = (at + step.insert, inserted + step.insert);
        }
        if step.copy > 0 {
            if step.from as usize + step.copy as usize > below {
                return Err("a copy reaches outside of its base");
            }
            starts.push(at);
            own.push(Piece {
                inserted: None,
                from: step.from,
                length: step.copy,
            });
            at += step.copy;
        }
    }
    let mut result: Vec<Piece> = Vec::with_capacity(pieces.len() + own.len());
    for piece in pieces {
        if piece.inserted.is_some() {
            result.push(*piece);
            continue;
        }
        let (mut from, end) = (piece.from, piece.from + piece.length);
        let mut next = starts.partition_point(|start| *start <= from).saturating_sub(1);
        while from < end {
            let (start, source) = (starts[next], own[next]);
            let skipped = from - start;
            let length = (source.length - skipped).min(end - from);
            let part = Piece {
                inserted: source.inserted,
                from: source.from + skipped,
                length,
            };
            match result.last_mut() {
                // Neighbours that were cut apart further up grow together again.
                Some(last) if last.inserted == part.inserted && last.from + last.length == part.from => {
                    last.length += length;
                }
                _ => result.push(part),
            }
            from += length;
            next += 1;
        }
        if result.len() > MOST_PIECES {
            return Err("it consists of too many pieces");
        }
    }
    Ok(result)
}
