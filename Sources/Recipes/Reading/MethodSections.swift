import Files

// Sections whose keys depend on a method: `type` chooses it, the rest is the method's own.

/// The entries of a section that is written as a mapping.
func sectionEntries(_ section: RecipeNode.Entry) throws -> [RecipeNode.Entry] {
    guard let entries = section.value.entries else {
        throw section.value.place.fault("`\(section.key)` must be a mapping, not \(section.value.found)")
    }
    return entries
}

/// Takes `type` out of a section's entries.
///
/// - Throws: ``InputError`` where it is missing or none of `types`.
func takeType(from entries: inout [RecipeNode.Entry], of section: RecipeNode.Entry, types: [String]) throws -> String {
    let keyPath = section.key + ".type"
    let known = types.map { "`\($0)`" }.joined(separator: ", ")
    guard let index = entries.firstIndex(where: { $0.key == "type" }) else {
        throw section.place.fault("`\(keyPath)` is missing", hint: "this version has \(known)")
    }
    let node = entries.remove(at: index).value
    let type = try String(reading: node, as: keyPath)
    guard types.contains(type) else {
        if type == "simpo", types.contains("cpo") {
            throw node.place.fault(
                "there is no `\(keyPath): simpo`",
                hint: "SimPO is `type: cpo` with `loss_type: simpo` and `cpo_alpha: 0`")
        }
        throw node.place.fault("there is no `\(keyPath): \(type)`", hint: "this version has \(known)")
    }
    return type
}

/// The entry that says which method a section is for.
func typeEntry(_ type: String) -> [RecipeNode.Entry] {
    [RecipeNode.Entry(key: "type", place: RecipePlace(), value: RecipeNode(.string(type)))]
}
