import Files

/// Reads `model` of a `tokenizer.json`: the one part that is too large for anything but a walk over it in place.
struct ModelReader {
    private let view: JSONView

    init(_ view: JSONView) { self.view = view }

    /// The model.
    ///
    /// - Throws: ``InputError`` for another type than BPE, for options that no language model uses, and for a vocabulary or merges
    ///   that contradict themselves.
    func read() throws -> BytePairEncoding {
        let type = try setting("type")?.string()
        guard type == nil || type == "BPE" else {
            throw InputError(
                "the model type \(quoted(type ?? "")) is not supported", place: "model.type", hint: "supported is BPE")
        }
        for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
            guard let value = try setting(key), value.value != .string(""), value.value.number != 0 else { continue }
            throw value.fault("is set, which is not supported", hint: "it must be null")
        }
        let vocabulary = try readVocabulary()
        var options = BytePairEncoding.Options()
        options.fusesUnknown = try setting("fuse_unk")?.bool() ?? false
        options.fallsBackToBytes = try setting("byte_fallback")?.bool() ?? false
        options.ignoresMerges = try setting("ignore_merges")?.bool() ?? false
        if let unknown = try setting("unk_token") {
            let token = try unknown.string()
            guard let id = vocabulary.id(token) else {
                throw unknown.fault("\(quoted(token)) is not in the vocabulary")
            }
            options.unknown = id
        }
        let merges = try readMerges(of: vocabulary)
        return BytePairEncoding(
            vocabulary: vocabulary, merges: merges.table, options: options,
            isCutBeforeMetaspace: merges.allStayWithinMetaspace && !options.ignoresMerges)
    }

    private func setting(_ key: String) throws -> KeyedValue? {
        guard let value = view[key]?.value, value != .null else { return nil }
        return KeyedValue(value: value, path: "model.\(key)")
    }

    private func readVocabulary() throws -> Vocabulary {
        guard let members = view["vocab"] else { throw InputError("has no “vocab”", place: "model") }
        var vocabulary = Vocabulary(capacity: 1 << 15)
        let isObject = try members.forEachMember { token, value in
            guard let id = value.integer else {
                throw InputError("the id of \(quoted(token)) is no integer", place: "model.vocab")
            }
            do { try vocabulary.add(token, id: id) } catch let error as InputError {
                throw InputError(error.message, place: "model.vocab", hint: error.hint)
            }
        }
        guard isObject else { throw InputError("must be an object of tokens and ids", place: "model.vocab") }
        return vocabulary
    }

    private func readMerges(of vocabulary: Vocabulary) throws -> MergeReader {
        guard let list = view["merges"], let count = list.count else {
            throw InputError("must be an array", place: "model.merges")
        }
        var merges = MergeReader(vocabulary, count: count)
        for index in 0..<count {
            let entry = list[index]
            let fault: String?
            if let result = entry.withUTF8({ merges.add($0, isFirst: merges.isEmpty) }) {
                fault = result
            } else if entry.count == 2 {
                fault =
                    entry[0].withUTF8 { left in entry[1].withUTF8 { merges.add(left, $0) } ?? Self.noPair }
                    ?? Self.noPair
            } else {
                fault = Self.noPair
            }
            if let fault { throw InputError(fault, place: "model.merges[\(index)]") }
        }
        return merges
    }

    private static let noPair = "must be two tokens: \"a b\" or [\"a\", \"b\"]"
}

/// Takes merges in order of rank and makes the table of them.
struct MergeReader {
    private let vocabulary: Vocabulary
    private var rank: UInt64 = 0
    private var joined: [UInt8] = []
    /// (left id, right id) → rank << 32 | merged id.
    let table: PairTable
    /// Whether no merge joins something to a `▁` after it, but for `▁` itself.
    private(set) var allStayWithinMetaspace = true

    init(_ vocabulary: Vocabulary, count: Int) {
        self.vocabulary = vocabulary
        table = PairTable(capacity: count)
    }

    /// Whether no merge was added yet.
    var isEmpty: Bool { rank == 0 }

    /// Adds "a b". Returns what is wrong with it, or nil. A version line in front is passed over.
    mutating func add(_ line: UnsafeBufferPointer<UInt8>, isFirst: Bool) -> String? {
        if isFirst && line.starts(with: Array("#version".utf8)) { return nil }
        guard let space = line.firstIndex(of: 0x20), line.lastIndex(of: 0x20) == space else {
            return "must be two tokens with one space between, is \(quoted(line))"
        }
        return add(UnsafeBufferPointer(rebasing: line[..<space]), UnsafeBufferPointer(rebasing: line[(space + 1)...]))
    }

    /// Adds a pair. Returns what is wrong with it, or nil.
    mutating func add(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> String? {
        guard let leftID = vocabulary.id(left) else { return "names \(quoted(left)), which is not in the vocabulary" }
        guard let rightID = vocabulary.id(right) else {
            return "names \(quoted(right)), which is not in the vocabulary"
        }
        joined.removeAll(keepingCapacity: true)
        joined.append(contentsOf: left)
        joined.append(contentsOf: right)
        guard let merged = vocabulary.id(joined) else {
            return "makes \(quoted(joined)), which is not in the vocabulary"
        }
        table.set(leftID, rightID, to: rank << 32 | UInt64(merged))
        rank += 1
        let mark = BytePairEncoding.metaspace
        if right.starts(with: mark) && !left.suffix(mark.count).elementsEqual(mark) { allStayWithinMetaspace = false }
        return nil
    }
}
