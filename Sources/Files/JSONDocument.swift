import CJSONC
import Glibc
import OrderedCollections

/// A parsed JSON text, owned by json-c, read in place through ``JSONView``.
///
/// For texts of megabytes (a tokenizer, a checkpoint's header), where turning every string into a Swift value would take longer
/// than parsing. For everything else ``JSON/init(parsing:file:)`` is simpler.
public final class JSONDocument {
    private let root: OpaquePointer?

    /// How deeply arrays and objects may nest. Deeper input is an error, not a stack overflow.
    public static let deepestNesting = 256

    /// Parses UTF-8 bytes that hold exactly one JSON value.
    ///
    /// - Throws: ``InputError`` naming the byte at which the text stops being JSON, is no UTF-8, or nests too deeply.
    public init(parsing bytes: UnsafeRawBufferPointer, file: String? = nil) throws {
        guard bytes.count < Int(Int32.max) else { throw InputError("JSON text of more than 2 GB", file: file) }
        guard let tokener = json_tokener_new_ex(Int32(Self.deepestNesting)) else {
            throw RunError("out of memory while reading JSON")
        }
        defer { json_tokener_free(tokener) }
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8)
        let text = bytes.assumingMemoryBound(to: CChar.self)
        var object = json_tokener_parse_ex(tokener, text.baseAddress, Int32(bytes.count))
        let end = json_tokener_get_parse_end(tokener)
        if json_tokener_get_error(tokener) == json_tokener_continue {
            // A number at the very end of the text is complete only once something follows it.
            object = json_tokener_parse_ex(tokener, "\n", 1)
        }
        let error = json_tokener_get_error(tokener)
        guard error == json_tokener_success else {
            json_object_put(object)
            let reason =
                switch error {
                case json_tokener_error_depth: "arrays and objects nest more than \(Self.deepestNesting) deep"
                case json_tokener_continue: "the text ends too early"
                case json_tokener_error_parse_utf8_string: "a string is not valid UTF-8"
                default: String(cString: json_tokener_error_desc(error))
                }
            throw InputError("not valid JSON: \(reason)", file: file, place: "byte \(end)")
        }
        let rest = bytes.dropFirst(end)
        guard rest.allSatisfy({ [0x20, 0x0A, 0x0D, 0x09].contains($0) }) else {
            json_object_put(object)
            throw InputError("not valid JSON: text after the end of the value", file: file, place: "byte \(end)")
        }
        root = object
    }

    /// Parses the UTF-8 of a string.
    public convenience init(parsing text: String, file: String? = nil) throws {
        var text = text
        try self.init(parsing: text.withUTF8 { Array($0) }, file: file)
    }

    private convenience init(parsing bytes: [UInt8], file: String?) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        try self.init(parsing: UnsafeRawBufferPointer(rebasing: buffer[..<bytes.count]), file: file)
    }

    deinit { json_object_put(root) }

    /// The whole document. Valid as long as the document is.
    public var view: JSONView { JSONView(document: self, object: root) }
}

/// One value inside a ``JSONDocument``, read without copying. It keeps its document alive.
public struct JSONView {
    let document: JSONDocument
    let object: OpaquePointer?

    /// Calls `body` with the bytes of a string; returns nil where this is no string.
    public func withUTF8<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result? {
        guard json_object_get_type(object) == json_type_string, let start = json_object_get_string(object) else {
            return nil
        }
        let count = Int(json_object_get_string_len(object))
        return try start.withMemoryRebound(to: UInt8.self, capacity: count) {
            try body(UnsafeBufferPointer(start: $0, count: count))
        }
    }

    /// The value as an integer, if it was written as one.
    public var integer: Int? {
        json_object_get_type(object) == json_type_int ? Int(json_object_get_int64(object)) : nil
    }

    /// The value as a string, if it is one.
    public var string: String? { withUTF8 { String(decoding: $0, as: UTF8.self) } }

    /// Whether it is null.
    public var isNull: Bool { json_object_get_type(object) == json_type_null }

    /// The number of elements, if it is an array.
    public var count: Int? {
        json_object_get_type(object) == json_type_array ? Int(json_object_array_length(object)) : nil
    }

    /// An element of an array. The index must be less than ``count``.
    public subscript(_ index: Int) -> JSONView {
        JSONView(document: document, object: json_object_array_get_idx(object, index))
    }

    /// A member of an object, if this is one and has it.
    public subscript(_ key: String) -> JSONView? {
        var member: OpaquePointer?
        guard json_object_get_type(object) == json_type_object, json_object_object_get_ex(object, key, &member) != 0
        else { return nil }
        return JSONView(document: document, object: member)
    }

    /// Calls `body` with each member of an object in the order written; returns false where this is no object.
    ///
    /// The key's bytes are valid during the call only.
    public func forEachMember(_ body: (UnsafeBufferPointer<UInt8>, JSONView) throws -> Void) rethrows -> Bool {
        guard json_object_get_type(object) == json_type_object else { return false }
        var iterator = json_object_iter_begin(object)
        var end = json_object_iter_end(object)
        while json_object_iter_equal(&iterator, &end) == 0 {
            if let name = json_object_iter_peek_name(&iterator) {
                let count = strlen(name)
                try name.withMemoryRebound(to: UInt8.self, capacity: count) {
                    try body(
                        UnsafeBufferPointer(start: $0, count: count),
                        JSONView(document: document, object: json_object_iter_peek_value(&iterator)))
                }
            }
            json_object_iter_next(&iterator)
        }
        return true
    }

    /// The value and all below it as a ``JSON``.
    public var value: JSON {
        switch json_object_get_type(object) {
        case json_type_boolean: return .bool(json_object_get_boolean(object) != 0)
        case json_type_int: return .integer(Int(json_object_get_int64(object)))
        case json_type_double: return .number(json_object_get_double(object))
        case json_type_string: return .string(string ?? "")
        case json_type_array: return .array((0..<(count ?? 0)).map { self[$0].value })
        case json_type_object:
            var members = OrderedDictionary<String, JSON>()
            _ = forEachMember { members[String(decoding: $0, as: UTF8.self)] = $1.value }
            return .object(members)
        default: return .null
        }
    }
}

extension JSON {
    /// Parses a text that holds exactly one JSON value.
    ///
    /// - Throws: ``InputError`` with the byte at which it stops being JSON.
    public init(parsing text: String, file: String? = nil) throws {
        self = try JSONDocument(parsing: text, file: file).view.value
    }

    /// Parses UTF-8 bytes that hold exactly one JSON value.
    public init(parsing bytes: UnsafeRawBufferPointer, file: String? = nil) throws {
        self = try JSONDocument(parsing: bytes, file: file).view.value
    }

    /// Reads a JSON file.
    public init(contentsOf path: String) throws {
        self = try MappedFile(path).withBytes { try JSON(parsing: $0, file: path) }
    }
}
