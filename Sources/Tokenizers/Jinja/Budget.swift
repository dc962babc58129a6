import Files

/// What one render may spend: no template, however written, runs or grows without end.
final class Budget {
    /// Evaluated nodes, visited elements and, at 64 to the step, bytes of text handled.
    static let steps = 5_000_000
    /// The longest text a template may build, its output included.
    static let bytes = 64 << 20
    /// How deep macros, statements and expressions may nest while running: about a kilobyte of stack each.
    static let depth = 400

    private var stepsLeft = Budget.steps
    private var depth = 0

    /// Counts work.
    @inline(__always)
    func spend(_ steps: Int) throws {
        stepsLeft -= steps
        if stepsLeft < 0 { throw InputError("the template runs for more than \(Self.steps) steps") }
    }

    /// Counts the handling of a text.
    func spend(bytes: Int) throws { try spend(bytes >> 6) }

    /// Counts a text that is about to be built, which must not be too long.
    func check(bytes: Int) throws {
        guard bytes <= Self.bytes else {
            throw InputError("the template builds a text of more than \(Self.bytes >> 20) MB")
        }
    }

    /// A text of `count` times `unit` bytes about to be built; overflow is too long too.
    func allocate(_ unit: Int, times count: Int = 1) throws {
        let (bytes, overflow) = unit.multipliedReportingOverflow(by: max(0, count))
        try check(bytes: overflow ? .max : bytes)
        try spend(bytes: bytes)
    }

    /// Runs something one level deeper.
    @inline(__always)
    func deeper<Result>(_ run: () throws -> Result) throws -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depth else {
            throw InputError("macros or expressions nest more than \(Self.depth) levels deep")
        }
        return try run()
    }
}
