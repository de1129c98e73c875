//! What the kernel does with a filter, for tests.

use super::assembler::{Instruction, code};
use crate::numbers::{NOTE_HARDWARE_TYPE, NOTE_PROTOCOL};

/// A frame and the kernel's notes on it.
pub(super) struct Frame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hardware_type: u16,
    pub(super) protocol: u16,
}

/// How many bytes of a frame the program keeps. A load past the end keeps none, as in the kernel.
pub(super) fn run(program: &[Instruction], frame: &Frame<'_>) -> u32 {
    run_counting(program, frame).0
}

/// The same, and how many loads behind an index it took.
pub(super) fn run_counting(program: &[Instruction], frame: &Frame<'_>) -> (u32, usize) {
    let mut indexed = 0;
    let (mut accumulator, mut index, mut memory) = (0u32, 0u32, [0u32; 16]);
    let mut next = 0;
    loop {
        let Instruction { code, when_true, when_false, operand } = program[next];
        next += 1;
        let branch = |holds: bool| usize::from(if holds { when_true } else { when_false });
        match code {
            code::INDEX_CONSTANT => index = operand,
            code::STORE => memory[operand as usize] = accumulator,
            code::LOAD_MEMORY => accumulator = memory[operand as usize],
            code::ADD => accumulator = accumulator.wrapping_add(operand),
            code::ADD_INDEX => accumulator = accumulator.wrapping_add(index),
            code::AND => accumulator &= operand,
            code::SHIFT_LEFT => accumulator <<= operand,
            code::TO_INDEX => index = accumulator,
            code::FROM_INDEX => accumulator = index,
            code::JUMP => next += operand as usize,
            code::JUMP_EQUAL => next += branch(accumulator == operand),
            code::JUMP_AT_LEAST => next += branch(accumulator >= operand),
            code::JUMP_ANY_BIT => next += branch(accumulator & operand != 0),
            code::RETURN => return (operand, indexed),
            _ => {
                indexed += usize::from(code & !0x18 == code::LOAD_INDEXED);
                match load(code, operand, index, frame) {
                    Some(value) => accumulator = value,
                    None => return (0, indexed),
                }
            }
        }
    }
}

fn load(instruction: u16, operand: u32, index: u32, frame: &Frame<'_>) -> Option<u32> {
    if instruction == code::LOAD_ABSOLUTE && operand == NOTE_HARDWARE_TYPE {
        return Some(frame.hardware_type.into());
    }
    if instruction == code::LOAD_ABSOLUTE && operand == NOTE_PROTOCOL {
        return Some(frame.protocol.into());
    }
    let width = match instruction & 0x18 {
        code::BYTE => 1,
        code::HALF => 2,
        _ => 4,
    };
    let start = match instruction & !0x18 {
        code::LOAD_ABSOLUTE => operand,
        code::LOAD_INDEXED => index.wrapping_add(operand),
        other => panic!("no such instruction: {other:#x}"),
    };
    let bytes = frame.bytes.get(start as usize..)?.get(..width)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}
