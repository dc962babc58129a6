import Files
import Foundation
import Tokenizers

/// Tokenised sources on disk, under a key of everything that decides what they hold.
///
/// A file that is missing, cut short or changed is as good as none: the source is tokenised again and the file rewritten.
struct DatasetCache {
    let folder: String

    /// Changes when the layout of the file or the meaning of any option does.
    private static let version = "graft tokens 3"

    /// The key of a source: its bytes, how they are read, tokenizer, template and options.
    static func key(_ source: DatasetSource, _ tokenizer: RowTokenizer) throws -> String {
        let hash = ContentHash()
        hash.add(version)
        hash.add(try ContentHash.ofFile(source.path))
        // The name decides how the bytes are read.
        hash.add(source.path.split(separator: "/").last.map(String.init) ?? "")
        hash.add("\(source.format ?? "-") \(source.documents.rawValue)")
        for (key, column) in source.columns.sorted(by: { $0.key < $1.key }) { hash.add("\(key)=\(column)") }
        hash.add(tokenizer.encoder.tokenizer.contentHash)
        hash.add(tokenizer.renderer?.identity ?? "-")
        let options = tokenizer.options
        hash.add(
            "\(options.trainOn?.rawValue ?? "-") \(options.maxLength) \(options.overflow?.rawValue ?? "-") \(options.appendsEOS) "
                + options.purpose.rawValue + (options.predictsFirstToken ? " first" : ""))
        return hash.hexadecimal
    }

    private func path(_ key: String) -> String { folder + "/\(key).tokens" }

    /// What is cached under a key, if it is whole.
    func read(_ key: String) -> TokenStore? {
        guard let file = try? MappedFile(path(key)) else { return nil }
        return file.withBytes { bytes in
            guard bytes.count > 40 else { return nil }
            let hash = ContentHash()
            hash.add(UnsafeRawBufferPointer(rebasing: bytes.dropLast(32)))
            guard Array(hash.hexadecimal.utf8) == Array(bytes.suffix(32)) else { return nil }
            return Self.store(UnsafeRawBufferPointer(rebasing: bytes.dropLast(32)))
        }
    }

    private static func store(_ bytes: UnsafeRawBufferPointer) -> TokenStore? {
        let headerCount = Int(UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)))
        guard headerCount <= bytes.count - 4,
            let header = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: bytes[4..<4 + headerCount])),
            let statistics = header["statistics"].flatMap(DatasetStatistics.init)
        else { return nil }
        var at = 4 + headerCount
        func array<Element: BitwiseCopyable>(_ name: String, of zero: Element) -> [Element]? {
            guard let count = header[name]?.integer, count >= 0, count <= bytes.count,
                count * MemoryLayout<Element>.stride <= bytes.count - at
            else { return nil }
            let size = count * MemoryLayout<Element>.stride
            defer { at += size }
            return [Element](unsafeUninitializedCapacity: count) { buffer, filled in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[at..<at + size]))
                filled = count
            }
        }
        guard let tokens = array("tokens", of: Int32(0)), let bits = array("target_bits", of: UInt64(0)),
            let bounds = array("bounds", of: 0), let rows = array("rows", of: 0), let starts = array("starts", of: 0),
            let answerBounds = array("answer_bounds", of: 0), let answers = array("answers", of: 0),
            let labels = array("labels", of: Int8(0)), let margins = array("margins", of: Float(0))
        else { return nil }
        return TokenStore(
            tokens: tokens, targetBits: bits, bounds: bounds, rows: rows, starts: starts,
            preferences: TokenStore.Preferences(
                answerBounds: answerBounds, answers: answers, labels: labels, margins: margins),
            statistics: statistics)
    }

    /// Writes a store, whole or not at all.
    ///
    /// - Throws: ``RunError`` or ``InputError`` where the folder cannot be written.
    func write(_ store: TokenStore, _ key: String) throws {
        try FileWriting.makeFolder(folder)
        let header: JSON = [
            "statistics": store.statistics.json, "tokens": .integer(store.tokens.count),
            "target_bits": .integer(store.targetBits.count), "bounds": .integer(store.bounds.count),
            "rows": .integer(store.rows.count), "starts": .integer(store.starts.count),
            "answer_bounds": .integer(store.preferences.answerBounds.count),
            "answers": .integer(store.preferences.answers.count), "labels": .integer(store.preferences.labels.count),
            "margins": .integer(store.preferences.margins.count),
        ]
        try FileWriting.replace(path(key)) { sink in
            let hash = ContentHash()
            func put(_ bytes: UnsafeRawBufferPointer) throws {
                hash.add(bytes)
                try sink.write(bytes)
            }
            let text = Array(header.text().utf8)
            try withUnsafeBytes(of: UInt32(text.count).littleEndian, put)
            try text.withUnsafeBytes(put)
            try store.tokens.withUnsafeBytes(put)
            try store.targetBits.withUnsafeBytes(put)
            try store.bounds.withUnsafeBytes(put)
            try store.rows.withUnsafeBytes(put)
            try store.starts.withUnsafeBytes(put)
            try store.preferences.answerBounds.withUnsafeBytes(put)
            try store.preferences.answers.withUnsafeBytes(put)
            try store.preferences.labels.withUnsafeBytes(put)
            try store.preferences.margins.withUnsafeBytes(put)
            try sink.write(hash.hexadecimal)
        }
    }
}

extension CachePolicy {
    /// The folder for things of a kind: `$XDG_CACHE_HOME/graft/<kind>`, `~/.cache/graft/<kind>`, or the user's own folder; nil where
    /// nothing is kept or there is no home.
    public func folder(for kind: String) -> String? {
        switch self {
        case .none: return nil
        case .folder(let path): return path
        case .standard:
            let environment = ProcessInfo.processInfo.environment
            if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") { return cache + "/graft/\(kind)" }
            guard let home = environment["HOME"], !home.isEmpty else { return nil }
            return home + "/.cache/graft/\(kind)"
        }
    }
}
