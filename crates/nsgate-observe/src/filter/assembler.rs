//! An assembler for classic BPF, the small language of socket filters: an accumulator, an index, forward jumps.
//!
//! Jumps name labels, which are placed later; distances are worked out at the end.

/// One instruction, as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) when_true: u8,
    pub(crate) when_false: u8,
    pub(crate) operand: u32,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// How much a load takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits in network order.
    Half,
    /// 32 bits in network order.
    Word,
}

/// The operation codes in use, as linux/bpf_common.h composes them.
pub(crate) mod code {
    pub(crate) const LOAD_NUMBER: u16 = 0x00;
    pub(crate) const LOAD_ABSOLUTE: u16 = 0x20;
    pub(crate) const LOAD_INDEXED: u16 = 0x40;
    pub(crate) const LOAD_MEMORY: u16 = 0x60;
    pub(crate) const INDEX_CONSTANT: u16 = 0x01;
    pub(crate) const STORE: u16 = 0x02;
    pub(crate) const ADD: u16 = 0x04;
    pub(crate) const ADD_INDEX: u16 = 0x0c;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const SHIFT_LEFT: u16 = 0x64;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const JUMP_EQUAL: u16 = 0x15;
    pub(crate) const JUMP_AT_LEAST: u16 = 0x35;
    pub(crate) const JUMP_ANY_BIT: u16 = 0x45;
    pub(crate) const RETURN: u16 = 0x06;
    pub(crate) const TO_INDEX: u16 = 0x07;
    pub(crate) const FROM_INDEX: u16 = 0x87;
    pub(crate) const HALF: u16 = 0x08;
    pub(crate) const BYTE: u16 = 0x10;
}

/// A program under construction.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label is placed, by its number.
    places: Vec<Option<usize>>,
    /// The instructions that jump, and the label that each jumps to.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A new label, not placed yet.
    pub(crate) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Puts a label in front of the next instruction.
    pub(crate) fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// Loads from an offset of the frame, or one of the kernel's notes on it.
    pub(crate) fn load(&mut self, width: Width, offset: u32) {
        self.plain(code::LOAD_ABSOLUTE | width.bits(), offset);
    }

    /// Loads from an offset behind the index.
    pub(crate) fn load_indexed(&mut self, width: Width, offset: u32) {
        self.plain(code::LOAD_INDEXED | width.bits(), offset);
    }

    /// Loads a number.
    pub(crate) fn load_number(&mut self, value: u32) {
        self.plain(code::LOAD_NUMBER, value);
    }

    /// Sets the index to what the accumulator holds.
    pub(crate) fn index_by_accumulator(&mut self) {
        self.plain(code::TO_INDEX, 0);
    }

    /// Puts the accumulator away.
    pub(crate) fn store(&mut self, slot: u32) {
        self.plain(code::STORE, slot);
    }

    /// Takes back what was put away.
    pub(crate) fn recall(&mut self, slot: u32) {
        self.plain(code::LOAD_MEMORY, slot);
    }

    /// Sets the index.
    pub(crate) fn set_index(&mut self, value: u32) {
        self.plain(code::INDEX_CONSTANT, value);
    }

    /// Adds a number to the index, by way of the accumulator.
    pub(crate) fn advance_index(&mut self, by: u32) {
        self.plain(code::FROM_INDEX, 0);
        self.plain(code::ADD, by);
        self.plain(code::TO_INDEX, 0);
    }

    /// Adds the accumulator to the index, after masking and shifting it.
    pub(crate) fn advance_index_by_accumulator(&mut self, mask: u32, shift: u32) {
        self.plain(code::AND, mask);
        self.plain(code::SHIFT_LEFT, shift);
        self.plain(code::ADD_INDEX, 0);
        self.plain(code::TO_INDEX, 0);
    }

    /// Takes a number off the accumulator, which begins again at its largest below zero.
    pub(crate) fn subtract(&mut self, value: u32) {
        self.plain(code::ADD, value.wrapping_neg());
    }

    /// Jumps if the accumulator is one of these.
    pub(crate) fn jump_if_one_of(&mut self, values: &[u32], to: Label) {
        for value in values {
            self.jump(code::JUMP_EQUAL, *value, to);
        }
    }

    /// Jumps if the accumulator is not this.
    pub(crate) fn jump_unless(&mut self, value: u32, to: Label) {
        // Steps over the jump that follows.
        self.instructions.push(Instruction { code: code::JUMP_EQUAL, when_true: 1, when_false: 0, operand: value });
        self.goto(to);
    }

    /// Goes to a label however far away, if the accumulator is this.
    pub(crate) fn go_if(&mut self, value: u32, to: Label) {
        self.instructions.push(Instruction { code: code::JUMP_EQUAL, when_true: 0, when_false: 1, operand: value });
        self.goto(to);
    }

    /// Jumps if the accumulator is at least this.
    pub(crate) fn jump_if_at_least(&mut self, value: u32, to: Label) {
        self.jump(code::JUMP_AT_LEAST, value, to);
    }

    /// Jumps if the accumulator has one of these bits.
    pub(crate) fn jump_if_any_bit(&mut self, bits: u32, to: Label) {
        self.jump(code::JUMP_ANY_BIT, bits, to);
    }

    /// Jumps.
    pub(crate) fn goto(&mut self, to: Label) {
        self.jump(code::JUMP, 0, to);
    }

    /// Ends the program: keeps that many bytes of the frame, or lets it go.
    pub(crate) fn keep(&mut self, bytes: u32) {
        self.plain(code::RETURN, bytes);
    }

    /// The finished program; none if a label was not placed behind its jumps, or too far behind.
    pub(crate) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (from, label) in self.jumps {
            let distance = self.places[label.0]?.checked_sub(from + 1)?;
            let instruction = &mut self.instructions[from];
            if instruction.code == code::JUMP {
                instruction.operand = u32::try_from(distance).ok()?;
            } else {
                instruction.when_true = u8::try_from(distance).ok()?;
            }
        }
        Some(self.instructions)
    }

    fn jump(&mut self, code: u16, operand: u32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.plain(code, operand);
    }

    fn plain(&mut self, code: u16, operand: u32) {
        self.instructions.push(Instruction { code, when_true: 0, when_false: 0, operand });
    }
}

impl Width {
    fn bits(self) -> u16 {
        match self {
            Width::Byte => code::BYTE,
            Width::Half => code::HALF,
            Width::Word => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_their_labels() {
        let mut assembler = Assembler::default();
        let end = assembler.label();
        assembler.load(Width::Half, 12);
        assembler.jump_if_one_of(&[7], end);
        assembler.goto(end);
        assembler.keep(0);
        assembler.place(end);
        assembler.keep(9);
        let instruction = |code, when_true, operand| Instruction { code, when_true, when_false: 0, operand };
        assert_eq!(
            assembler.finish().unwrap(),
            [
                instruction(0x28, 0, 12),
                instruction(0x15, 2, 7),
                instruction(0x05, 0, 1),
                instruction(0x06, 0, 0),
                instruction(0x06, 0, 9),
            ]
        );
    }

    #[test]
    fn what_cannot_be_encoded_is_refused() {
        let mut unplaced = Assembler::default();
        let nowhere = unplaced.label();
        unplaced.goto(nowhere);
        assert_eq!(unplaced.finish(), None);

        let mut backward = Assembler::default();
        let start = backward.label();
        backward.place(start);
        backward.goto(start);
        assert_eq!(backward.finish(), None);

        let far_away = |between: usize| {
            let mut far = Assembler::default();
            let end = far.label();
            far.jump_if_at_least(1, end);
            (0..between).for_each(|_| far.keep(0));
            far.place(end);
            far.keep(0);
            far.finish()
        };
        assert!(far_away(255).is_some());
        assert_eq!(far_away(256), None);
    }
}
