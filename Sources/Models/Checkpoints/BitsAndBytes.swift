import Files
import Tensors

/// Matrices in NF4 as transformers and bitsandbytes save them: for a weight `w` of `n` numbers
///
/// - `w`: U8 `[(n + 1) / 2, 1]`, two codes a byte, the first in the upper half;
/// - `w.absmax`: F32, one a block of 64; with double quantisation U8 codes;
/// - `w.quant_map`: F32 `[16]`, what the codes stand for;
/// - `w.nested_absmax` and `w.nested_quant_map` (F32 `[256]`): of double quantisation;
/// - `w.quant_state.bitsandbytes__nf4`: U8, a JSON object: shape, block sizes, the offset of double quantisation.
///
/// Source: `QuantState.as_dict` in bitsandbytes/functional.py, version 0.50.2.
struct BitsAndBytesMatrices {
    private let weights: SafetensorsFolder
    /// The matrices by name.
    private let states: [String: State]

    /// What the JSON of a matrix says.
    private struct State {
        var shape: [Int]
        /// The offset of double quantisation; nil without.
        var offset: Float?

        var type: DType { offset == nil ? .nf4 : .nf4DoubleQuant }
    }

    private static let stateSuffix = ".quant_state.bitsandbytes__nf4"
    private static let parts = ["absmax", "quant_map", "nested_absmax", "nested_quant_map"]

    /// Reads what the folder holds in NF4.
    ///
    /// - Parameters:
    ///   - weights: the folder.
    ///   - configuration: `config.json`.
    /// - Throws: ``InputError`` for weights that are quantised in another way.
    init(_ weights: SafetensorsFolder, _ configuration: JSON) throws {
        self.weights = weights
        guard let settings = configuration["quantization_config"], settings != .null else {
            states = [:]
            return
        }
        try Self.check(settings, folder: weights.path)
        let names = weights.names.filter { $0.hasSuffix(Self.stateSuffix) }
        guard !names.isEmpty else {
            throw InputError(
                "config.json says that weights are NF4, but there is no tensor whose name ends in \(Self.stateSuffix)",
                file: weights.path)
        }
        states = Dictionary(
            uniqueKeysWithValues: try names.map { name in
                (String(name.dropLast(Self.stateSuffix.count)), try Self.state(name, weights))
            })
    }

    private static func check(_ settings: JSON, folder: String) throws {
        let method = settings["quant_method"]?.string ?? "no named method"
        let type = settings["bnb_4bit_quant_type"]?.string
        guard method == "bitsandbytes", settings["load_in_4bit"]?.bool == true, type == "nf4" else {
            let kind = method == "bitsandbytes" ? "bitsandbytes in \(type.map { "4 bits, \($0)" } ?? "8 bits")" : method
            throw InputError(
                "holds quantised weights (\(kind)), which cannot be read", file: folder,
                hint:
                    "Of quantised folders those of bitsandbytes in nf4 are read; or give the model in F32, F16 or BF16, "
                    + "or as a GGUF file")
        }
    }

    private static func state(_ name: String, _ weights: SafetensorsFolder) throws -> State {
        let file = try weights.shard(of: name)
        func fault(_ message: String) -> InputError { InputError(message, file: file.path, place: "tensor '\(name)'") }
        let json: JSON
        do { json = try JSON(parsing: String(decoding: file.rawBytes(name), as: UTF8.self)) } catch {
            throw fault("is no JSON object")
        }
        let shape = (json["shape"]?.array ?? []).compactMap(\.integer)
        guard shape.count == 2, shape.allSatisfy({ (1...Int(Int32.max)).contains($0) }) else {
            throw fault("gives no shape of a matrix")
        }
        let matrix = String(name.dropLast(stateSuffix.count))
        guard let codes = try? weights.shard(of: matrix).entry(matrix), codes.type == .u8,
            codes.elementCount == (shape[0] * shape[1] + 1) / 2
        else { throw fault("gives the shape \(shape), which '\(matrix)' does not have the bytes of") }
        guard json["quant_type"]?.string == "nf4", json["blocksize"]?.integer == NF4Tables.block else {
            throw fault("is not NF4 in blocks of \(NF4Tables.block)")
        }
        guard let nested = json["nested_offset"] else { return State(shape: shape, offset: nil) }
        guard let offset = nested.number, json["nested_blocksize"]?.integer == NF4Tables.nestedBlock,
            json["nested_dtype"]?.string == "float32"
        else { throw fault("its double quantisation is not in float32 blocks of \(NF4Tables.nestedBlock)") }
        return State(shape: shape, offset: Float(offset))
    }

    /// Whether a tensor of the folder only describes a matrix.
    func isPart(_ name: String) -> Bool {
        guard !states.isEmpty, let dot = name.lastIndex(of: ".") else { return false }
        if name.hasSuffix(Self.stateSuffix) { return true }
        return Self.parts.contains(String(name[name.index(after: dot)...])) && states[String(name[..<dot])] != nil
    }

    /// The type of most; nil where nothing is in NF4.
    var type: DType? {
        let doubles = states.values.filter { $0.offset != nil }.count
        return states.isEmpty ? nil : 2 * doubles > states.count ? .nf4DoubleQuant : .nf4
    }

    /// The shape of a matrix; nil for a tensor that is not in NF4.
    func shape(of name: String) -> [Int]? { states[name]?.shape }

    /// A matrix with the codes and scales of the file; nil for a tensor that is not in NF4.
    func matrix(_ name: String) throws -> Tensor? {
        guard let state = states[name] else { return nil }
        let count = state.shape[0] * state.shape[1]
        let blocks = (count + NF4Tables.block - 1) / NF4Tables.block
        var parts = QuantizedParts(codes: try bytes(name, count: (count + 1) / 2))
        try check(name + ".quant_map", is: NF4Tables.levels)
        if let offset = state.offset {
            parts.nestedCodes = try bytes(name + ".absmax", count: blocks)
            let scales = (blocks + NF4Tables.nestedBlock - 1) / NF4Tables.nestedBlock
            parts.nestedScales = try floats(name + ".nested_absmax", count: scales)
            parts.offset = offset
            try check(name + ".nested_quant_map", is: NF4Tables.nestedMap)
        } else {
            parts.scales = try floats(name + ".absmax", count: blocks)
        }
        return Tensor(parts, shape: state.shape, dtype: state.type)
    }

    private func bytes(_ name: String, count: Int) throws -> [UInt8] {
        Array(try file(of: name, .u8, count: count, "\(count) bytes (U8)").rawBytes(name))
    }

    private func floats(_ name: String, count: Int) throws -> [Float] {
        try file(of: name, .f32, count: count, "\(count) numbers in F32").floats(name)
    }

    /// The file that holds a tensor, which must be of a type and a number of elements.
    private func file(
        of name: String, _ type: SafetensorsType, count: Int, _ expected: String
    ) throws -> SafetensorsFile {
        let file = try weights.shard(of: name)
        let entry = try file.entry(name)
        guard entry.type == type, entry.elementCount == count else {
            throw InputError(
                "is \(entry.type.rawValue) \(entry.shape), not \(expected)", file: file.path, place: "tensor '\(name)'")
        }
        return file
    }

    private func check(_ name: String, is table: [Float]) throws {
        guard try floats(name, count: table.count) == table else {
            throw InputError(
                "is not the table of NF4", file: try weights.shard(of: name).path, place: "tensor '\(name)'")
        }
    }

    /// Lets go of the memory that a matrix took to read.
    func releasePages(of name: String) throws {
        for part in Self.parts where weights.names.contains(name + "." + part) {
            try weights.shard(of: name + "." + part).releasePages(of: name + "." + part)
        }
    }
}

extension BitsAndBytesMatrices {
    /// A matrix in NF4 as the tensors of a file.
    static func tensors(_ name: String, _ matrix: Tensor) -> [SafetensorsTensor] {
        let isDouble = matrix.dtype == .nf4DoubleQuant
        let blocks = (matrix.count + NF4Tables.block - 1) / NF4Tables.block
        let parts = matrix.quantizedParts
        func floats(_ part: String, _ values: [Float]) -> SafetensorsTensor {
            SafetensorsTensor("\(name).\(part)", .f32, shape: [values.count], values)
        }
        var members: [(String, JSON)] = [
            ("quant_type", "nf4"), ("blocksize", .integer(NF4Tables.block)), ("dtype", "float32"),
            ("shape", .array(matrix.shape.map { .integer($0) })),
        ]
        var tensors = [
            SafetensorsTensor(name, bytes: parts.codes.count, shape: [parts.codes.count, 1]) { parts.codes },
            floats("quant_map", NF4Tables.levels),
        ]
        if isDouble {
            tensors.append(SafetensorsTensor(name + ".absmax", bytes: blocks, shape: [blocks]) { parts.nestedCodes })
            tensors.append(floats("nested_absmax", parts.nestedScales))
            tensors.append(floats("nested_quant_map", NF4Tables.nestedMap))
            members += [
                ("nested_blocksize", .integer(NF4Tables.nestedBlock)), ("nested_dtype", "float32"),
                ("nested_offset", .number(Double(parts.offset))),
            ]
        } else {
            tensors.append(floats("absmax", parts.scales))
        }
        let state = Array(JSON(members: members).text(.spaced).utf8)
        tensors.append(SafetensorsTensor(name + stateSuffix, bytes: state.count, shape: [state.count]) { state })
        return tensors
    }

    /// `quantization_config` of a folder whose linear layers but the skipped ones are in NF4, as transformers writes it.
    static func configuration(isDouble: Bool, computeType: String, skipped: [String]) -> JSON {
        [
            "_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": .string(computeType),
            "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": .bool(isDouble), "llm_int8_enable_fp32_cpu_offload": false,
            "llm_int8_has_fp16_weight": false, "llm_int8_skip_modules": .array(skipped.map { .string($0) }),
            "llm_int8_threshold": 6.0,
            "load_in_4bit": true, "load_in_8bit": false, "quant_method": "bitsandbytes",
        ]
    }
}
