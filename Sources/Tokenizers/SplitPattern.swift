import CPCRE2
import Files

/// A compiled regular expression, run by PCRE2's just-in-time compiler.
///
/// The code is read-only once compiled, so threads share it; what a match needs to write is in ``MatchState``.
final class SplitPattern: @unchecked Sendable {
    /// The pattern as written in the tokenizer's file.
    let source: String
    private let code: OpaquePointer

    /// How much work one match may take before it is given up: no pattern can hang a run.
    fileprivate static let matchLimit: UInt32 = 5_000_000
    private static let longestPattern = 1 << 16

    /// Compiles a pattern in the syntax of the `tokenizers` library.
    ///
    /// - Throws: ``InputError`` where it is malformed, or uses what cannot be expressed exactly.
    init(_ source: String) throws {
        self.source = source
        var pattern = try PatternSyntax.translated(source)
        guard pattern.utf8.count <= Self.longestPattern else {
            throw InputError("a regular expression of more than \(Self.longestPattern) bytes")
        }
        guard let context = pcre2_compile_context_create_8(nil) else { throw RunError("out of memory") }
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        var fault: Int32 = 0
        var place = 0
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
        let compiled = pattern.withUTF8 {
            pcre2_compile_8($0.baseAddress, $0.count, options, &fault, &place, context)
        }
        guard let compiled else {
            throw InputError(
                "the regular expression \(quoted(source)) is malformed: \(Self.message(fault)) (at \(place))")
        }
        code = compiled
        pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code) }

    /// Calls `body` with each match within a range of valid UTF-8, in order, as if nothing stood outside the range.
    ///
    /// An empty match right after another is passed over, as in Oniguruma's search. A match that takes too much work ends the search, and
    /// is noted in `state`: what comes out is not what the tokenizer means.
    func forEachMatch(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, state: MatchState, _ body: (Range<Int>) -> Void
    ) {
        let subject = UnsafeBufferPointer(rebasing: bytes[range])
        var start = 0
        var lastEnd: Int?
        while start <= subject.count, let match = state.match(code, subject, from: start) {
            if match.isEmpty && match.upperBound == lastEnd {
                guard start < subject.count else { return }
                start += characterLength(subject[start])
                continue
            }
            body(range.lowerBound + match.lowerBound..<range.lowerBound + match.upperBound)
            start = match.upperBound
            lastEnd = start
        }
        if state.failure != 0 {
            state.fault =
                "the regular expression \(quoted(source)) cannot be matched on the text \(quoted(subject.prefix(60))): "
                + Self.message(state.failure)
            state.failure = 0
        }
    }

    private static func message(_ code: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pcre2_get_error_message_8(code, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<Int(count)], as: UTF8.self) : "error \(code)"
    }
}

/// What PCRE2 writes while it matches. One thread uses it at a time: it belongs to an ``EncodingScratch``.
final class MatchState: @unchecked Sendable {
    private let data: OpaquePointer
    private let context: OpaquePointer
    private let stack: OpaquePointer?
    /// PCRE2's code for the search that ended otherwise than with a match or none; 0 for none.
    fileprivate var failure: Int32 = 0
    /// What could not be matched, of the text under way.
    var fault: String?
    private static let stackSize = (first: 32 << 10, most: 8 << 20)

    init() {
        guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
            preconditionFailure("out of memory")
        }
        (self.data, self.context) = (data, context)
        pcre2_set_match_limit_8(context, SplitPattern.matchLimit)
        stack = pcre2_jit_stack_create_8(Self.stackSize.first, Self.stackSize.most, nil)
        pcre2_jit_stack_assign_8(context, nil, stack.map { UnsafeMutableRawPointer($0) })
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        pcre2_jit_stack_free_8(stack)
    }

    /// The first match at or after an index, or nil.
    fileprivate func match(_ code: OpaquePointer, _ subject: UnsafeBufferPointer<UInt8>, from start: Int) -> Range<Int>?
    {
        let utf8 = UInt32(PCRE2_NO_UTF_CHECK)
        var result = pcre2_match_8(code, subject.baseAddress, subject.count, start, utf8, data, context)
        if result == PCRE2_ERROR_JIT_STACKLIMIT {
            result = pcre2_match_8(code, subject.baseAddress, subject.count, start, utf8 | PCRE2_NO_JIT, data, context)
        }
        if result < 0, result != PCRE2_ERROR_NOMATCH { failure = result }
        guard result >= 0, let pair = pcre2_get_ovector_pointer_8(data), pair[0] <= pair[1] else { return nil }
        return pair[0]..<pair[1]
    }
}
