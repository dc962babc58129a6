import Dispatch
import Files
import Synchronization

/// How far the reading of a dataset has come.
public struct ReadingProgress: Sendable {
    /// The file being read.
    public var path: String
    /// Rows of it tokenised so far.
    public var rows: Int
}

/// Reads one source front to back: rows in chunks, each chunk tokenised by all cores, order kept.
struct SourceReader {
    let source: DatasetSource
    let tokenizer: RowTokenizer
    var progress: (@Sendable (ReadingProgress) -> Void)?

    /// A chunk ends at so many rows or bytes, whichever comes first: enough to keep every core busy, little enough to hold.
    private static let rowsPerChunk = 512
    private static let bytesPerChunk = 1 << 23

    /// Calls `body` with the results of each chunk, in the file's order; it returns false to stop.
    ///
    /// - Throws: what `body` throws; ``InputError`` of the first row that is at fault, naming file and line.
    func forEachChunk(_ body: ([RowTokenizer.Result]) throws -> Bool) throws {
        let parser = try RowParser(source, for: tokenizer.options.purpose)
        var chunk: [RawRow] = []
        var bytes = 0
        var done = 0
        func finish() throws -> Bool {
            if chunk.isEmpty { return true }
            let results = try tokenized(chunk, from: done, parser)
            done += chunk.count
            chunk.removeAll(keepingCapacity: true)
            bytes = 0
            progress?(ReadingProgress(path: source.path, rows: done))
            return try body(results)
        }
        var stopped = false
        try RowFile(source.path, documents: source.documents).forEachRow { row in
            chunk.append(row)
            bytes += row.byteCount
            guard chunk.count >= Self.rowsPerChunk || bytes >= Self.bytesPerChunk else { return true }
            stopped = try !finish()
            return !stopped
        }
        if !stopped { _ = try finish() }
    }

    private func tokenized(_ chunk: [RawRow], from first: Int, _ parser: RowParser) throws -> [RowTokenizer.Result] {
        let results = Mutex([Int: Swift.Result<RowTokenizer.Result, any Error>](minimumCapacity: chunk.count))
        let tokenizer = tokenizer
        DispatchQueue.concurrentPerform(iterations: chunk.count) { index in
            let result = Swift.Result { try Self.result(of: chunk[index], number: first + index, parser, tokenizer) }
            results.withLock { $0[index] = result }
        }
        let all = results.withLock { $0 }
        return try chunk.indices.compactMap { try all[$0]?.get() }
    }

    private static func result(
        of raw: RawRow, number: Int, _ parser: RowParser, _ tokenizer: RowTokenizer
    ) throws -> RowTokenizer.Result {
        let row = try parser.row(raw)
        do {
            return try tokenizer.tokenize(row, number: number)
        } catch let error as InputError {
            let inner = [error.file, error.place].compactMap { $0 }.joined(separator: " ")
            throw InputError(
                error.message, file: parser.path, place: inner.isEmpty ? raw.place : "\(raw.place): \(inner)",
                hint: error.hint)
        }
    }
}
