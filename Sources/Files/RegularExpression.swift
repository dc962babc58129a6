import CPCRE2

/// A regular expression that a user wrote, in the syntax of Python's `re` as far as configurations use it.
///
/// PCRE2, because it reads Python's named groups and bounds the work of a match: a pattern that backtracks without end is an error.
/// One thread uses it at a time.
public final class RegularExpression {
    private let source: String
    private let code: OpaquePointer
    private let data: OpaquePointer
    private let limits: OpaquePointer

    /// Steps of one match; an ordinary pattern takes some hundreds on a line of text.
    private static let matchLimit: UInt32 = 1_000_000

    /// Compiles a pattern.
    ///
    /// - Parameters:
    ///   - pattern: what is compiled.
    ///   - source: what the user wrote, for messages.
    ///   - key: where they wrote it.
    /// - Throws: `InputError` with the reason where it is not valid.
    public init(_ pattern: String, source: String, key: String) throws {
        var (fault, place) = (Int32(0), 0)
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C
        let compiled = Array(pattern.utf8).withUnsafeBufferPointer {
            pcre2_compile_8($0.baseAddress, $0.count, options, &fault, &place, nil)
        }
        guard let code = compiled else {
            let reason = Self.reason(fault)
            throw InputError("`\(key)`: \"\(source)\" is not a valid regular expression: \(reason)")
        }
        guard let data = pcre2_match_data_create_from_pattern_8(code, nil),
            let limits = pcre2_match_context_create_8(nil)
        else { throw RunError("out of memory") }
        pcre2_set_match_limit_8(limits, Self.matchLimit)
        self.source = source
        self.code = code
        self.data = data
        self.limits = limits
    }

    /// A pattern that stands alone: what it matches in full.
    public convenience init(_ pattern: String, key: String) throws { try self.init(pattern, source: pattern, key: key) }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(limits)
        pcre2_code_free_8(code)
    }

    /// Whether the whole text matches: Python's `re.fullmatch`.
    public func matchesAll(of text: String) throws -> Bool {
        try match(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED) != nil
    }

    /// Whether the text starts with a match: Python's `re.match`.
    public func matchesStart(of text: String) throws -> Bool { try match(text, PCRE2_ANCHORED) != nil }

    /// Whether there is a match anywhere in the text: Python's `re.search`.
    public func matches(in text: String) throws -> Bool { try match(text, 0) != nil }

    /// The text of a named group in a match at the text's start; nil where there is no match.
    public func group(_ name: String, atStartOf text: String) throws -> String? {
        guard let ranges = try match(text, PCRE2_ANCHORED) else { return nil }
        let number = Int(pcre2_substring_number_from_name_8(code, Array(name.utf8) + [0]))
        guard number > 0, number < ranges.count else { return nil }
        return String(decoding: Array(text.utf8)[ranges[number]], as: UTF8.self)
    }

    /// The byte ranges of the match and its groups; an unused group is empty.
    private func match(_ text: String, _ options: UInt32) throws -> [Range<Int>]? {
        let result = Array(text.utf8).withUnsafeBufferPointer {
            pcre2_match_8(code, $0.baseAddress, $0.count, 0, options, data, limits)
        }
        if result == PCRE2_ERROR_NOMATCH { return nil }
        guard result > 0, let ends = pcre2_get_ovector_pointer_8(data) else {
            throw InputError("the regular expression \"\(source)\" fails on \(text.prefix(80)): \(Self.reason(result))")
        }
        return (0..<Int(result)).map { group in
            let (start, end) = (ends[2 * group], ends[2 * group + 1])
            return start <= end && end <= text.utf8.count ? start..<end : 0..<0
        }
    }

    private static func reason(_ fault: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pcre2_get_error_message_8(fault, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, Int(count))), as: UTF8.self)
    }
}
