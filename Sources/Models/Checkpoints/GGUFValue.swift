import Files

/// A value of a GGUF file's metadata.
enum GGUFValue: Sendable {
    /// Any integer type that fits 64 signed bits.
    case integer(Int)
    /// float32, float64, or an integer beyond 64 signed bits.
    case number(Double)
    /// A boolean.
    case bool(Bool)
    /// A string.
    case string(String)
    /// An array, checked but left in the file until it is asked for.
    case array(GGUFArray)
}

/// Where an array of the metadata lies.
struct GGUFArray: Sendable {
    /// What its elements are.
    let element: GGUFValueType
    /// How many.
    let count: Int
    /// The byte of the file where the first begins.
    let start: Int
}

/// The type codes of GGUF metadata.
enum GGUFValueType: UInt32, Sendable {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// The size of an element, for types of fixed size.
    var size: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}

extension GGUFCursor {
    /// How deep arrays of arrays may go. No writer makes them; the format allows them.
    private static let deepestArray = 4

    /// The next value's type code.
    mutating func valueType() throws -> GGUFValueType {
        let code = try number(UInt32.self)
        guard let type = GGUFValueType(rawValue: code) else { throw fault("unknown value type \(code)") }
        return type
    }

    /// The next value of a type. Of an array, the place is kept and the contents are walked over.
    mutating func value(_ type: GGUFValueType, depth: Int = 0) throws -> GGUFValue {
        switch type {
        case .uint8: return .integer(Int(try number(UInt8.self)))
        case .int8: return .integer(Int(try number(Int8.self)))
        case .uint16: return .integer(Int(try number(UInt16.self)))
        case .int16: return .integer(Int(try number(Int16.self)))
        case .uint32: return .integer(Int(try number(UInt32.self)))
        case .int32: return .integer(Int(try number(Int32.self)))
        case .int64: return .integer(Int(try number(Int64.self)))
        case .uint64:
            let value = try number(UInt64.self)
            return Int(exactly: value).map { .integer($0) } ?? .number(Double(value))
        case .float32: return .number(Double(Float(bitPattern: try number())))
        case .float64: return .number(Double(bitPattern: try number()))
        case .bool:
            let byte = try number(UInt8.self)
            guard byte <= 1 else { throw fault("a boolean is \(byte)") }
            return .bool(byte == 1)
        case .string: return .string(try string())
        case .array: return .array(try array(depth: depth + 1))
        }
    }

    private mutating func array(depth: Int) throws -> GGUFArray {
        guard depth <= Self.deepestArray else { throw fault("arrays nest more than \(Self.deepestArray) deep") }
        let element = try valueType()
        let count = try number(UInt64.self)
        let start = offset
        if let size = element.size {
            _ = try take(count, of: size)
        } else {
            // Each element takes at least eight bytes, so an impossible count ends at the end of the file, or here at once.
            guard count <= UInt64(bytes.count - offset) / 8 else {
                throw fault("an array of \(count) elements does not fit the file")
            }
            for _ in 0..<count {
                if element == .string {
                    _ = try take(number(UInt64.self), of: 1)
                } else {
                    _ = try array(depth: depth + 1)
                }
            }
        }
        return GGUFArray(element: element, count: Int(count), start: start)
    }
}
