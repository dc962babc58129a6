import Files

/// The weights in a Hugging Face folder: `model.safetensors`, or the files that `model.safetensors.index.json` lists.
public final class SafetensorsFolder: Sendable {
    /// The folder.
    public let path: String
    /// All tensors' names: file by file, in the order of the data.
    public let names: [String]
    /// The files, in the order of their names.
    public let shards: [SafetensorsFile]
    private let shardOf: [String: Int]

    /// The file of a model in one piece.
    public static let fileName = "model.safetensors"
    /// The file that lists the pieces of a model in several.
    public static let indexName = "model.safetensors.index.json"

    /// Opens the folder's files and checks them against the index.
    ///
    /// - Throws: ``InputError`` where a file is missing or corrupt, or index and files disagree about a tensor.
    public init(_ path: String) throws {
        self.path = path
        let single = path + "/" + Self.fileName
        if case .file = PathKind(single) {
            // As transformers does: a file in one piece wins over an index beside it.
            shards = [try SafetensorsFile(single)]
        } else {
            shards = try Self.openShards(of: path)
        }
        names = shards.flatMap(\.names)
        let places = shards.enumerated().flatMap { index, shard in shard.names.map { ($0, index) } }
        shardOf = Dictionary(places, uniquingKeysWith: { first, _ in first })
    }

    /// Opens all files that the index names. A tensor in two files is caught here: the index places it in one of them only.
    private static func openShards(of folder: String) throws -> [SafetensorsFile] {
        let indexPath = folder + "/" + indexName
        let placed = try readWeightMap(indexPath)
        let shards = try Set(placed.values).sorted().map { name in
            guard !name.isEmpty, !name.contains("/") else {
                throw InputError("'\(name)' is no file name", file: indexPath, place: "weight_map")
            }
            guard case .file = PathKind(folder + "/" + name) else {
                throw InputError("the file '\(name)' that the index names is missing", file: folder)
            }
            return (name: name, file: try SafetensorsFile(folder + "/" + name))
        }
        for (name, file) in shards {
            for tensor in file.names where placed[tensor] != name {
                let said = placed[tensor].map { "places it in \($0)" } ?? "does not name it"
                throw InputError("is here, but \(indexName) \(said)", file: file.path, place: "tensor '\(tensor)'")
            }
        }
        let held = Set(shards.flatMap(\.file.names))
        if let lost = placed.keys.filter({ !held.contains($0) }).min() {
            throw InputError(
                "is not in \(placed[lost] ?? ""), where the index places it", file: indexPath, place: "tensor '\(lost)'"
            )
        }
        return shards.map(\.file)
    }

    private static func readWeightMap(_ indexPath: String) throws -> [String: String] {
        guard let map = try JSON(contentsOf: indexPath)["weight_map"]?.object, !map.isEmpty else {
            throw InputError("has no weight_map", file: indexPath)
        }
        var placed: [String: String] = [:]
        for (tensor, file) in map {
            guard let file = file.string else {
                throw InputError("is not a file name", file: indexPath, place: "weight_map.\(tensor)")
            }
            placed[tensor] = file
        }
        return placed
    }

    /// The file that holds a tensor.
    ///
    /// - Throws: ``InputError`` with the nearest name where none does.
    public func shard(of name: String) throws -> SafetensorsFile {
        if let index = shardOf[name] { return shards[index] }
        let near = nearestName(to: name, among: names)
        throw InputError("there is no tensor '\(name)'", file: path, hint: near.map { "The nearest is '\($0)'" })
    }
}

extension SafetensorsFolder {
    /// Writes a model's weights as `model.safetensors`, or, above `shardLimit` bytes, in files of at most that size and an index.
    ///
    /// The index comes last, and an index or single file of an earlier model in the folder goes away, so that the folder never reads as
    /// a mixture. See ``SafetensorsWriter/write(_:metadata:to:)`` for order, metadata and errors.
    public static func write(
        _ tensors: [SafetensorsTensor], metadata: [String: String] = ["format": "pt"], to folder: String,
        shardLimit: Int = 5_000_000_000
    ) throws {
        try FileWriting.makeFolder(folder)
        let parts = split(tensors, limit: shardLimit)
        guard parts.count > 1 else {
            try SafetensorsWriter.write(tensors, metadata: metadata, to: folder + "/" + fileName)
            return try FileWriting.remove(folder + "/" + indexName)
        }
        var members: [String] = []
        for (index, part) in parts.enumerated() {
            let name = "model-\(fiveDigits(index + 1))-of-\(fiveDigits(parts.count)).safetensors"
            try SafetensorsWriter.write(part, metadata: metadata, to: folder + "/" + name)
            members += part.map { "    \(JSON.string($0.name).text()): \"\(name)\"" }
        }
        let total = tensors.reduce(0) { $0 + $1.byteCount }
        let index = """
            {
              "metadata": {
                "total_size": \(total)
              },
              "weight_map": {
            \(members.sorted().joined(separator: ",\n"))
              }
            }

            """
        try FileWriting.replace(folder + "/" + indexName, with: index)
        try FileWriting.remove(folder + "/" + fileName)
    }

    /// Fills one file after the other, in order, as transformers does. A tensor larger than the limit gets a file to itself.
    private static func split(_ tensors: [SafetensorsTensor], limit: Int) -> [[SafetensorsTensor]] {
        var parts: [[SafetensorsTensor]] = [[]]
        var size = 0
        for tensor in tensors {
            if size > 0 && size + tensor.byteCount > limit {
                parts.append([])
                size = 0
            }
            parts[parts.count - 1].append(tensor)
            size += tensor.byteCount
        }
        return parts
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
