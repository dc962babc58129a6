import Files

/// Turns raw rows of one source into ``Row``s: parse, rename columns, choose the format, read it.
package struct RowParser: Sendable {
    let path: String
    /// The format the recipe names; nil: by each row's keys.
    let format: (any RowFormat.Type)?
    /// Our key → the column's name in the file.
    let columns: [String: String]
    /// What the rows are read for.
    let purpose: RowPurpose

    /// Prepares to read a source.
    ///
    /// - Throws: ``InputError`` for an unknown format or one that does not fit the purpose, or a column mapping for a key that no format
    ///   has.
    package init(_ source: DatasetSource, for purpose: RowPurpose = .supervised) throws {
        path = source.path
        self.purpose = purpose
        format = try source.format.map(RowFormats.named)
        if let format, !format.purposes.contains(purpose) {
            let names = RowFormats.all(for: purpose).map { $0.name }.joined(separator: ", ")
            throw InputError(
                "format \"\(format.name)\" has no \(purpose.phrase)", file: source.path, hint: "Formats: \(names)")
        }
        columns = source.columns
        let known = (format.map { [$0] } ?? RowFormats.all).flatMap { $0.requiredKeys + $0.optionalKeys }
        for key in columns.keys.sorted() where !known.contains(key) {
            let nearest = nearestName(to: key, among: known).map { "Did you mean \"\($0)\"? " } ?? ""
            throw InputError("columns: no format has the key \"\(key)\"", hint: nearest + "Keys: \(quotedList(known))")
        }
    }

    /// Reads one row.
    ///
    /// - Throws: ``InputError`` naming the file, the line, and the key path in the row.
    package func row(_ raw: RawRow) throws -> Row {
        do {
            switch raw.content {
            case .text(let bytes):
                guard let text = String(validating: bytes, as: UTF8.self) else { throw InputError("not valid UTF-8") }
                guard format == nil || format == TextFormat.self else {
                    throw InputError("a plain-text file holds no \(format?.name ?? "") rows")
                }
                switch purpose {
                case .supervised: return .text(text)
                case .prompts: return .prompt(.text(text), reference: nil)
                case .pairs, .labels: throw InputError("a plain-text file holds no \(purpose.phrase)")
                }
            case .json(let bytes):
                let object = try renamed(bytes.withUnsafeBytes { try JSON(parsing: $0) })
                return try (format ?? RowFormats.detected(in: object, for: purpose)).row(from: object)
            }
        } catch let error as InputError {
            let place = error.place.map { "\(raw.place): \($0)" } ?? raw.place
            throw InputError(error.message, file: path, place: place, hint: error.hint)
        }
    }

    private func renamed(_ object: JSON) throws -> JSON {
        guard !columns.isEmpty, case .object(var members) = object else {
            _ = try object.keysOfRow()
            return object
        }
        for (key, column) in columns {
            guard let value = object[column] else {
                let nearest = nearestName(to: column, among: members.keys).map { "Did you mean \"\($0)\"?" }
                throw InputError("the column \"\(column)\" is missing", hint: nearest)
            }
            members[key] = value
        }
        return .object(members)
    }
}
