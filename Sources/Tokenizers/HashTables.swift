/// A hash of bytes for the tables of this module: fast, seeded per process so that no file can be written to make it collide.
@inline(__always)
func tableHash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var hash = tableSeed ^ UInt64(truncatingIfNeeded: bytes.count)
    guard let start = bytes.baseAddress else { return mixed(hash) }
    let raw = UnsafeRawPointer(start)
    var offset = 0
    while offset &+ 8 <= bytes.count {
        hash = mixed(hash ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        offset &+= 8
    }
    var tail: UInt64 = 0
    while offset < bytes.count {
        tail = tail << 8 | UInt64(bytes[offset])
        offset &+= 1
    }
    return mixed(hash ^ tail)
}

/// The hash of one word.
@inline(__always)
func tableHash(_ word: UInt64) -> UInt64 { mixed(word ^ tableSeed) }

@inline(__always)
private func mixed(_ word: UInt64) -> UInt64 {
    let product = word.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return product.high ^ product.low
}

private let tableSeed = UInt64.random(in: .min ... .max)

/// A hash table from 64-bit keys to 64-bit values, open addressing, for pairs of small numbers: merges, edges of a trie.
///
/// Filled by one owner, then only read: that is what makes it safe to share.
final class PairTable: @unchecked Sendable {
    private struct Slot {
        var key: UInt64
        var value: UInt64
    }
    /// What ``value(_:_:)`` returns where there is no entry; never stored.
    static let absent = UInt64.max
    private var slots: UnsafeMutableBufferPointer<Slot>
    private var mask: Int
    private(set) var count = 0

    /// Makes a table with room for `capacity` entries; it grows beyond.
    init(capacity: Int) {
        var size = 16
        while size < capacity &* 2 { size &*= 2 }
        mask = size - 1
        slots = .allocate(capacity: size)
        slots.initialize(repeating: Slot(key: Self.absent, value: Self.absent))
    }

    deinit { slots.deallocate() }

    /// The value of a pair, or ``absent``.
    @inline(__always)
    func value(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = Self.key(left, right)
        var index = Int(truncatingIfNeeded: tableHash(key)) & mask
        while true {
            let slot = slots[index]
            if slot.key == key { return slot.value }
            if slot.key == Self.absent { return Self.absent }
            index = (index &+ 1) & mask
        }
    }

    /// Sets the value of a pair, replacing an earlier one.
    func set(_ left: Int32, _ right: Int32, to value: UInt64) {
        if (count + 1) * 2 > slots.count { grow() }
        insert(Slot(key: Self.key(left, right), value: value))
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func insert(_ new: Slot) {
        var index = Int(truncatingIfNeeded: tableHash(new.key)) & mask
        while slots[index].key != Self.absent && slots[index].key != new.key { index = (index &+ 1) & mask }
        if slots[index].key == Self.absent { count += 1 }
        slots[index] = new
    }

    private func grow() {
        let old = slots
        mask = old.count * 2 - 1
        slots = .allocate(capacity: old.count * 2)
        slots.initialize(repeating: Slot(key: Self.absent, value: Self.absent))
        count = 0
        for slot in old where slot.key != Self.absent { insert(slot) }
        old.deallocate()
    }
}
