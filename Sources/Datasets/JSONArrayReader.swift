import Files

/// Reads the elements of a JSON array one by one, in one pass, holding one element at a time.
///
/// It finds where each element ends by counting brackets outside strings; whether the element is valid JSON is for the parser to
/// say, which gets its bytes alone.
struct JSONArrayReader {
    private let source: ByteSource

    init(_ source: ByteSource) { self.source = source }

    private enum State { case beforeArray, beforeElement, inElement, afterElement, afterArray }

    private struct Scan {
        var state = State.beforeArray
        var depth = 0
        var inString = false
        var escaped = false
        var line = 1
        var startLine = 1
        var row = 0
        var element: [UInt8] = []
        var afterComma = false
    }

    /// The longest element read; a row beyond that is a broken file.
    private static let longestElement = 1 << 28

    /// Calls `body` with each element as a raw row; it returns false to stop.
    func forEachElement(_ body: (RawRow) throws -> Bool) throws {
        var scan = Scan()
        var piece = [UInt8](repeating: 0, count: 1 << 18)
        var first = true
        while true {
            let count = try piece.withUnsafeMutableBytes { try source.read(into: $0) }
            if count == 0 { break }
            let bytes = first ? RowFile.withoutMark(piece[..<count]) : piece[..<count]
            first = false
            for byte in bytes {
                if byte == 0x0A { scan.line += 1 }
                guard try take(byte, &scan, body) else { return }
            }
        }
        guard scan.state == .afterArray else {
            throw InputError("the JSON array ends too early", file: source.path, place: "line \(scan.line)")
        }
    }

    private func take(_ byte: UInt8, _ scan: inout Scan, _ body: (RawRow) throws -> Bool) throws -> Bool {
        if scan.state == .inElement { return try inside(byte, &scan, body) }
        if RowFile.isSpace(byte) { return true }
        switch (scan.state, byte) {
        case (.beforeArray, UInt8(ascii: "[")): scan.state = .beforeElement
        case (.beforeElement, UInt8(ascii: "]")) where !scan.afterComma, (.afterElement, UInt8(ascii: "]")):
            scan.state = .afterArray
        case (.afterElement, UInt8(ascii: ",")):
            scan.state = .beforeElement
            scan.afterComma = true
        case (.beforeElement, UInt8(ascii: ",")), (.beforeElement, UInt8(ascii: "]")):
            throw fault("a row is missing between two commas", scan)
        case (.beforeElement, _):
            scan.state = .inElement
            scan.startLine = scan.line
            scan.row += 1
            return try inside(byte, &scan, body)
        case (.afterElement, _): throw fault("expected a comma or ] after row \(scan.row)", scan)
        default: throw fault("text after the end of the array", scan)
        }
        return true
    }

    private func inside(_ byte: UInt8, _ scan: inout Scan, _ body: (RawRow) throws -> Bool) throws -> Bool {
        if scan.inString {
            scan.element.append(byte)
            if scan.escaped {
                scan.escaped = false
            } else if byte == UInt8(ascii: "\\") {
                scan.escaped = true
            } else if byte == UInt8(ascii: "\"") {
                scan.inString = false
            }
            guard scan.element.count <= Self.longestElement else { throw fault("a row of more than 256 MB", scan) }
            return true
        }
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "]"):
            if scan.depth == 0 {
                scan.state = .afterElement
                guard try emit(&scan, body) else { return false }
                return try take(byte, &scan, body)
            }
            if byte == UInt8(ascii: "]") { scan.depth -= 1 }
        case UInt8(ascii: "["), UInt8(ascii: "{"): scan.depth += 1
        case UInt8(ascii: "}"): scan.depth -= 1
        case UInt8(ascii: "\""): scan.inString = true
        default: break
        }
        guard scan.depth >= 0 else { throw fault("a bracket closes that was never opened", scan) }
        scan.element.append(byte)
        return true
    }

    private func emit(_ scan: inout Scan, _ body: (RawRow) throws -> Bool) throws -> Bool {
        let row = RawRow(content: .json(scan.element), place: "row \(scan.row) (line \(scan.startLine))")
        scan.element.removeAll(keepingCapacity: true)
        scan.afterComma = false
        return try body(row)
    }

    private func fault(_ message: String, _ scan: Scan) -> InputError {
        InputError("not valid JSON: \(message)", file: source.path, place: "line \(scan.line)")
    }
}
