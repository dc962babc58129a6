import Files

/// The tokens of a model and their ids, both ways.
///
/// Tokens are byte strings in one arena, found through a hash table of ids: a vocabulary of 128 thousand tokens is read without
/// making a Swift string of each.
struct Vocabulary: Sendable {
    /// Ids at or above this are refused: no vocabulary comes near, and a table must be as long as the largest id.
    static let idLimit = 1 << 24

    private var arena: [UInt8] = []
    private var places: [Place] = []
    private var slots: [Slot]
    /// The number of tokens. Ids may leave gaps, so this can be less than ``idBound``.
    private(set) var count = 0

    private struct Place {
        var start: UInt32
        var length: UInt32
        static let none = Place(start: .max, length: 0)
    }

    /// A place of the hash table: the id of a token, -1 where there is none, and the upper half of the token's hash.
    private struct Slot {
        var tag: UInt32
        var id: Int32
        static let none = Slot(tag: 0, id: -1)
    }

    /// Makes an empty vocabulary with room for some tokens.
    init(capacity: Int) {
        var size = 64
        while size < capacity &* 2 { size &*= 2 }
        slots = [Slot](repeating: .none, count: size)
        places.reserveCapacity(capacity)
        arena.reserveCapacity(capacity * 8)
    }

    /// One more than the largest id.
    var idBound: Int { places.count }

    /// Adds a token.
    ///
    /// - Throws: ``InputError`` where the id is out of range or taken, or the token has an id already.
    mutating func add(_ token: UnsafeBufferPointer<UInt8>, id: Int) throws {
        guard id >= 0 && id < Self.idLimit else {
            throw InputError(
                "the id \(id) of token \(quoted(token)) is out of range", hint: "ids run from 0 to \(Self.idLimit - 1)")
        }
        if (count + 1) * 2 > slots.count { grow() }
        while places.count <= id { places.append(.none) }
        guard places[id].start == .max else {
            throw InputError("the tokens \(quoted(bytes(of: id) ?? [])) and \(quoted(token)) share the id \(id)")
        }
        guard arena.count + token.count < Int(UInt32.max) else { throw InputError("a vocabulary of more than 4 GB") }
        let hash = tableHash(token)
        let slot = slot(of: token, hash)
        guard slots[slot].id < 0 else { throw InputError("the token \(quoted(token)) stands twice") }
        places[id] = Place(start: UInt32(arena.count), length: UInt32(token.count))
        arena.append(contentsOf: token)
        slots[slot] = Slot(tag: UInt32(truncatingIfNeeded: hash >> 32), id: Int32(id))
        count += 1
    }

    /// The id of a token, or nil.
    func id(_ token: UnsafeBufferPointer<UInt8>) -> Int32? {
        let id = slots[slot(of: token, tableHash(token))].id
        return id < 0 ? nil : id
    }

    /// The id of a token, or nil.
    func id(_ token: [UInt8]) -> Int32? { token.withUnsafeBufferPointer { id($0) } }

    /// The id of a token, or nil.
    func id(_ token: String) -> Int32? {
        var token = token
        return token.withUTF8 { id($0) }
    }

    /// The bytes of a token, or nil where no token has the id.
    func bytes(of id: Int) -> ArraySlice<UInt8>? {
        guard places.indices.contains(id), places[id].start != .max else { return nil }
        let place = places[id]
        return arena[Int(place.start)..<Int(place.start) + Int(place.length)]
    }

    private func slot(of token: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int {
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        return slots.withUnsafeBufferPointer { slots in
            let mask = slots.count &- 1
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index].id >= 0 {
                if slots[index].tag == tag && isToken(token, Int(slots[index].id)) { break }
                index = (index &+ 1) & mask
            }
            return index
        }
    }

    private func isToken(_ token: UnsafeBufferPointer<UInt8>, _ id: Int) -> Bool {
        let place = places[id]
        guard Int(place.length) == token.count else { return false }
        let start = Int(place.start)
        return arena.withUnsafeBufferPointer {
            equalBytes(UnsafeBufferPointer(rebasing: $0[start..<start + token.count]), token)
        }
    }

    private mutating func grow() {
        let old = slots.filter { $0.id >= 0 }
        slots = [Slot](repeating: .none, count: slots.count * 2)
        for entry in old {
            let token = Array(bytes(of: Int(entry.id)) ?? [])
            token.withUnsafeBufferPointer { slots[slot(of: $0, tableHash($0))] = entry }
        }
    }
}

/// Whether two byte strings of one length are equal.
@inline(__always)
func equalBytes(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
    var index = 0
    while index < a.count {
        if a[index] != b[index] { return false }
        index &+= 1
    }
    return true
}

/// A token for an error message: quoted, cut where it is long.
func quoted(_ bytes: some Collection<UInt8>) -> String {
    let text = String(decoding: bytes.prefix(60), as: UTF8.self)
    return JSON.string(text + (bytes.count > 60 ? "…" : "")).text()
}

/// A token for an error message.
func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }
