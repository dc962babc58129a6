import Files
import Tensors

/// The tensors of an adapter's file under PEFT's names, whatever the file calls them and whichever way round it keeps matrices.
struct AdapterTensors: Sendable {
    /// A tensor with PEFT's shape.
    struct Entry: Sendable {
        let shape: [Int]
        fileprivate let name: String
        fileprivate let isTransposed: Bool
    }

    /// PEFT's names, in the file's order.
    let names: [String]
    /// What each is.
    let entries: [String: Entry]
    private let file: SafetensorsFile

    /// Where the file lies.
    var path: String { file.path }
    /// What the file says of itself.
    var metadata: [String: String] { file.metadata }

    /// The tensors of a file that PEFT, or this program, wrote.
    init(_ file: SafetensorsFile) {
        self.file = file
        names = file.names
        entries = file.entries.reduce(into: [:]) {
            $0[$1.key] = Entry(shape: $1.value.shape, name: $1.key, isTransposed: false)
        }
    }

    /// The tensors of a file that has matrices the other way round.
    ///
    /// - Parameters:
    ///   - file: the file.
    ///   - renamed: PEFT's names and the file's, in order; no name twice.
    init(transposed file: SafetensorsFile, renamed: [(peft: String, name: String)]) {
        self.file = file
        names = renamed.map(\.peft)
        entries = renamed.reduce(into: [:]) { entries, pair in
            guard let shape = file.entries[pair.name]?.shape else { return }
            entries[pair.peft] = Entry(shape: shape.reversed(), name: pair.name, isTransposed: shape.count == 2)
        }
    }

    /// Reads a tensor as PEFT lays it out.
    ///
    /// - Throws: `InputError` where it does not hold floating-point numbers.
    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard let entry = entries[name], entry.isTransposed else {
            return try file.readFloats(entries[name]?.name ?? name, into: target)
        }
        let stored = try file.floats(entry.name)
        let (rows, columns) = (entry.shape[0], entry.shape[1])
        for row in 0..<rows {
            for column in 0..<columns { target[row * columns + column] = stored[column * rows + row] }
        }
    }
}
