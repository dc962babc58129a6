import Glibc

/// The first place of some bytes, not empty, within a range, or nil.
func firstIndex(of wanted: [UInt8], in bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int? {
    guard let base = bytes.baseAddress, let first = wanted.first else { return nil }
    var start = range.lowerBound
    while start + wanted.count <= range.upperBound {
        let room = range.upperBound - wanted.count - start + 1
        guard let found = memchr(base + start, Int32(first), room) else { return nil }
        let place = UnsafeRawPointer(base).distance(to: UnsafeRawPointer(found))
        if memcmp(base + place, wanted, wanted.count) == 0 { return place }
        start = place + 1
    }
    return nil
}

/// The names in a folder, sorted; none where there is no such folder.
func folderNames(_ path: String) throws -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        names.append(
            withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            })
    }
    return names.sorted()
}
