//! Writes programs for the kernel's virtual machine (eBPF), instruction by instruction.
//!
//! Only what the programs here need, with the machine's own words. Jumps go to labels; whether a program makes sense is
//! for the kernel's verifier to judge.

/// One instruction, as the kernel reads it (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u8,
    /// The destination and the source, four bits each.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A register. 0 holds results, 1 to 5 arguments, which a call destroys; 6 to 9 are kept; 10 is the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R5 = 5,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
}

/// How many bytes are loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

/// What an operation does with its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add = 0x00,
    Subtract = 0x10,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// When to jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum If {
    Equal = 0x10,
    Greater = 0x20,
    NotEqual = 0x50,
    LessOrEqual = 0xb0,
}

/// A place in the program to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A function of the kernel that programs may call (BPF_FUNC_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    MonotonicTime = 5,
    ReadKernelMemory = 113,
    ReserveInRing = 131,
    SubmitToRing = 132,
    Print = 165,
    AtomicTime = 208,
}

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    program: Vec<Instruction>,
    /// Where each label stands, once it is known.
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

/// The classes of instructions.
const LOAD_IMMEDIATE: u8 = 0x18;
const LOAD: u8 = 0x61;
const STORE_IMMEDIATE: u8 = 0x62;
const STORE: u8 = 0x63;
const ATOMIC_DOUBLE: u8 = 0xdb;
const JUMP: u8 = 0x05;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JUMP_32: u8 = 0x06;
const OPERATION: u8 = 0x07;
const TO_BIG_ENDIAN: u8 = 0xdc;
/// The second operand is a register, not a number.
const BY_REGISTER: u8 = 0x08;

/// In place of a source register, what the number of a LOAD_IMMEDIATE is.
const MAP: u8 = 1;
const MAP_VALUE: u8 = 2;
/// In place of a source register, what the number of a CALL is.
const KERNEL_FUNCTION: u8 = 2;

impl Assembler {
    /// A label that does not stand anywhere yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label here.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.program.len());
    }

    /// destination = *(source + offset)
    pub(super) fn load(&mut self, size: Size, destination: Register, source: Register, offset: i16) {
        self.push(LOAD | size as u8, destination, source as u8, offset, 0);
    }

    /// *(destination + offset) = source
    pub(super) fn store(&mut self, size: Size, destination: Register, offset: i16, source: Register) {
        self.push(STORE | size as u8, destination, source as u8, offset, 0);
    }

    /// *(destination + offset) = number
    pub(super) fn store_number(&mut self, size: Size, destination: Register, offset: i16, number: i32) {
        self.push(STORE_IMMEDIATE | size as u8, destination, 0, offset, number);
    }

    /// *(destination) += source, as one step for all processors
    pub(super) fn add_atomically(&mut self, destination: Register, source: Register) {
        self.push(ATOMIC_DOUBLE, destination, source as u8, 0, Operation::Add as i32);
    }

    /// destination = destination (operation) number, in 64 bits
    pub(super) fn number(&mut self, operation: Operation, destination: Register, number: i32) {
        self.push(OPERATION | operation as u8, destination, 0, 0, number);
    }

    /// destination = destination (operation) source, in 64 bits
    pub(super) fn register(&mut self, operation: Operation, destination: Register, source: Register) {
        self.push(OPERATION | BY_REGISTER | operation as u8, destination, source as u8, 0, 0);
    }

    /// destination = destination, four bytes as a packet has them, as a number
    pub(super) fn read_network_order(&mut self, destination: Register) {
        self.push(TO_BIG_ENDIAN, destination, 0, 0, 32);
    }

    /// destination = number, of 64 bits
    pub(super) fn wide(&mut self, destination: Register, number: u64) {
        self.pair(destination, 0, number as u32 as i32, (number >> 32) as u32 as i32);
    }

    /// destination = the map of that file descriptor
    pub(super) fn map(&mut self, destination: Register, descriptor: i32) {
        self.pair(destination, MAP, descriptor, 0);
    }

    /// destination = where the one value of the map of that file descriptor lies
    pub(super) fn map_value(&mut self, destination: Register, descriptor: i32) {
        self.pair(destination, MAP_VALUE, descriptor, 0);
    }

    /// Goes on at the label.
    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.push(JUMP, Register::R0, 0, 0, 0);
    }

    /// Goes on at the label if (register (condition) number) holds in 64 bits; the number is extended by its sign.
    pub(super) fn jump_if(&mut self, register: Register, condition: If, number: i32, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.push(JUMP | condition as u8, register, 0, 0, number);
    }

    /// The same for the lower 32 bits.
    pub(super) fn jump_if_word(&mut self, register: Register, condition: If, number: u32, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.push(JUMP_32 | condition as u8, register, 0, 0, number as i32);
    }

    /// Goes on at the label if (register (condition) other) holds in 64 bits.
    pub(super) fn jump_if_register(&mut self, register: Register, condition: If, other: Register, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.push(JUMP | BY_REGISTER | condition as u8, register, other as u8, 0, 0);
    }

    /// Calls a function that is there for programs.
    pub(super) fn call(&mut self, helper: Helper) {
        self.push(CALL, Register::R0, 0, 0, helper as i32);
    }

    /// Calls one of the kernel's own functions, by the number of its type.
    pub(super) fn call_kernel(&mut self, function: u32) {
        self.push(CALL, Register::R0, KERNEL_FUNCTION, 0, function as i32);
    }

    /// Ends the program with what register 0 holds.
    pub(super) fn exit(&mut self) {
        self.push(EXIT, Register::R0, 0, 0, 0);
    }

    /// The finished program. None if a jump leads nowhere or too far: a fault of whoever wrote the program.
    pub(super) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (at, label) in self.jumps {
            let to = self.labels[label.0]?;
            self.program[at].offset = i16::try_from(to as i64 - at as i64 - 1).ok()?;
        }
        Some(self.program)
    }

    fn pair(&mut self, destination: Register, what: u8, low: i32, high: i32) {
        self.push(LOAD_IMMEDIATE, destination, what, 0, low);
        self.push(0, Register::R0, 0, 0, high);
    }

    fn push(&mut self, code: u8, destination: Register, source: u8, offset: i16, immediate: i32) {
        let registers = if cfg!(target_endian = "little") {
            destination as u8 | source << 4
        } else {
            (destination as u8) << 4 | source
        };
        self.program.push(Instruction { code, registers, offset, immediate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program as the kernel's own notation of bytes, written by hand from its documentation.
    fn bytes(assembler: Assembler) -> Vec<[u8; 8]> {
        let bytes = |i: Instruction| {
            let mut bytes = [i.code, i.registers, 0, 0, 0, 0, 0, 0];
            bytes[2..4].copy_from_slice(&i.offset.to_le_bytes());
            bytes[4..].copy_from_slice(&i.immediate.to_le_bytes());
            bytes
        };
        assembler.finish().unwrap().into_iter().map(bytes).collect()
    }

    #[test]
    fn instructions_are_those_of_the_machine() {
        let mut a = Assembler::default();
        a.load(Size::Double, Register::R6, Register::R1, 8);
        a.load(Size::Byte, Register::R2, Register::R6, -1);
        a.store(Size::Half, Register::R10, -8, Register::R3);
        a.store_number(Size::Word, Register::R0, 4, -2);
        a.number(Operation::Move, Register::R0, 1);
        a.register(Operation::Add, Register::R1, Register::R2);
        a.number(Operation::And, Register::R1, 15);
        a.number(Operation::ShiftLeft, Register::R1, 2);
        a.wide(Register::R2, 0x0102_0304_0506_0708);
        a.map(Register::R1, 5);
        a.map_value(Register::R1, 6);
        a.add_atomically(Register::R1, Register::R2);
        a.call(Helper::ReadKernelMemory);
        a.call_kernel(0x1234);
        a.exit();
        let expected = [
            [0x79, 0x16, 8, 0, 0, 0, 0, 0],
            [0x71, 0x62, 0xff, 0xff, 0, 0, 0, 0],
            [0x6b, 0x3a, 0xf8, 0xff, 0, 0, 0, 0],
            [0x62, 0x00, 4, 0, 0xfe, 0xff, 0xff, 0xff],
            [0xb7, 0x00, 0, 0, 1, 0, 0, 0],
            [0x0f, 0x21, 0, 0, 0, 0, 0, 0],
            [0x57, 0x01, 0, 0, 15, 0, 0, 0],
            [0x67, 0x01, 0, 0, 2, 0, 0, 0],
            [0x18, 0x02, 0, 0, 8, 7, 6, 5],
            [0, 0, 0, 0, 4, 3, 2, 1],
            [0x18, 0x11, 0, 0, 5, 0, 0, 0],
            [0; 8],
            [0x18, 0x21, 0, 0, 6, 0, 0, 0],
            [0; 8],
            [0xdb, 0x21, 0, 0, 0, 0, 0, 0],
            [0x85, 0x00, 0, 0, 113, 0, 0, 0],
            [0x85, 0x20, 0, 0, 0x34, 0x12, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes(a), expected);
    }

    #[test]
    fn jumps_count_from_the_next_instruction() {
        let mut a = Assembler::default();
        let (back, end) = (a.label(), a.label());
        a.place(back);
        a.jump_if(Register::R1, If::Equal, -1, end);
        a.jump_if_word(Register::R2, If::NotEqual, 0xffff_fffe, back);
        a.jump_if_register(Register::R1, If::Greater, Register::R2, end);
        a.jump(back);
        a.place(end);
        a.exit();
        let expected = [
            [0x15, 0x01, 3, 0, 0xff, 0xff, 0xff, 0xff],
            [0x56, 0x02, 0xfe, 0xff, 0xfe, 0xff, 0xff, 0xff],
            [0x2d, 0x21, 1, 0, 0, 0, 0, 0],
            [0x05, 0, 0xfc, 0xff, 0, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes(a), expected);
    }

    #[test]
    fn a_jump_to_nowhere_or_too_far_is_refused() {
        let mut a = Assembler::default();
        let label = a.label();
        a.jump(label);
        assert_eq!(a.finish(), None);
        let mut a = Assembler::default();
        let label = a.label();
        a.jump(label);
        (0..40_000).for_each(|_| a.exit());
        a.place(label);
        assert_eq!(a.finish(), None);
    }
}
