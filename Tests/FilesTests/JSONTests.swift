import Files
import Testing

@Suite struct JSONTests {
    /// One value, whatever it is, and white space around it.
    @Test(arguments: [
        ("0", JSON.integer(0)), ("12345", .integer(12345)), ("-2.5", .number(-2.5)), ("0.25", .number(0.25)),
        ("1e3", .number(1000)), (" 17 \n", .integer(17)), ("true", .bool(true)), ("null", .null),
        (#""a\"\u00e9""#, .string("a\"é")), ("[]", .array([])), (#"[1, "b"]"#, .array([.integer(1), .string("b")])),
    ])
    func aValueStandsAlone(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test(arguments: [
        "", " ", "1 2", "12,", "0.5x", "01", "nan", "{} {}", "{", "[1", "[1,]", #"{"a"}"#, "tru", #""a"#,
    ])
    func whatIsNoJSON(text: String) {
        #expect(throws: InputError.self) { try JSON(parsing: text) }
    }

    @Test func whatIsWrittenIsReadAgain() throws {
        let value: JSON = [
            "a": [.number(0.1), .integer(-3), .null], "b": ["c": .string("x\n\u{1}\"\\")], "d": .bool(false),
        ]
        #expect(try JSON(parsing: value.text()) == value)
        #expect(try JSON(parsing: value.text(.indented(2))) == value)
    }

    @Test func nestingHasALimit() {
        let deep = String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
        #expect(throws: InputError.self) { try JSON(parsing: deep) }
    }
}
