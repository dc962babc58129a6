import Datasets
import Files
import TestSupport
import Testing

/// Reads every row of a file, as the trainer does.
func rows(of source: DatasetSource) throws -> [Row] {
    let parser = try RowParser(source)
    var rows: [Row] = []
    try RowFile(source.path, documents: source.documents).forEachRow {
        rows.append(try parser.row($0))
        return true
    }
    return rows
}

private func rows(_ text: String, _ name: String = "data.jsonl", format: String? = nil) throws -> [Row] {
    let folder = try TemporaryFolder()
    return try rows(of: DatasetSource(folder.write(text, to: name), format: format))
}

private func user(_ text: String) -> Message { Message(role: "user", content: .string(text)) }
private func assistant(_ text: String) -> Message { Message(role: "assistant", content: .string(text)) }

@Suite struct RowFormatTests {
    @Test func messagesKeepEverythingTheTemplateMayRead() throws {
        let row = #"""
            {"id": 7, "messages": [
              {"role": "system", "content": "Be brief."},
              {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
              {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}], "train": false},
              {"role": "tool", "content": "4", "tool_call_id": "x"},
              {"role": "assistant", "content": "Four.", "reasoning_content": "2 + 2"}],
             "tools": "[{\"type\": \"function\"}]"}
            """#.replacing("\n", with: " ")
        guard case .messages(let conversation) = try #require(rows(row).first) else { throw RunError("no messages") }
        let calls: JSON = [["type": "function", "function": ["name": "f", "arguments": [:]]]]
        #expect(
            conversation.messages == [
                Message(role: "system", content: "Be brief."),
                Message(role: "user", content: [["type": "text", "text": "Hi"]]),
                Message(role: "assistant", content: .null, toolCalls: calls, train: false),
                Message(role: "tool", content: "4", extra: ["tool_call_id": "x"]),
                Message(role: "assistant", content: "Four.", extra: ["reasoning_content": "2 + 2"]),
            ])
        #expect(conversation.tools == [["type": "function"]])
        #expect(conversation.messages[2].json == ["role": "assistant", "content": .null, "tool_calls": calls])
    }

    @Test func shareGPTRolesAndCalls() throws {
        let row = #"""
            {"system": "S", "tools": "", "conversations": [{"from": "human", "value": "Hi"},
             {"from": "function_call", "value": "{\"name\": \"find\", \"arguments\": {\"q\": 1}}"},
             {"from": "observation", "value": "[]"}, {"from": "gpt", "value": "None."}]}
            """#.replacing("\n", with: " ")
        guard case .messages(let conversation) = try #require(rows(row).first) else { throw RunError("no messages") }
        #expect(conversation.messages.map(\.role) == ["system", "user", "assistant", "tool", "assistant"])
        #expect(
            conversation.messages[2].toolCalls == [
                ["type": "function", "function": ["name": "find", "arguments": ["q": 1]]]
            ])
        #expect(conversation.tools == nil)
    }

    @Test func alpacaJoinsInstructionAndInput() throws {
        let row = #"{"instruction": "Add", "input": "1 2", "output": "3", "system": "S", "history": [["a", "b"]]}"#
        let bare = #"{"instruction": "Hi", "input": "", "output": "Ho", "history": null}"#
        let expected: [Row] = [
            .messages(
                Conversation([
                    Message(role: "system", content: "S"), user("a"), assistant("b"), user("Add\n1 2"), assistant("3"),
                ])), .messages(Conversation([user("Hi"), assistant("Ho")])),
        ]
        #expect(try rows(row + "\n" + bare) == expected)
    }

    @Test func promptAndCompletionInBothShapes() throws {
        let plain = #"{"prompt": "2+2=", "completion": "4"}"#
        let chat =
            #"{"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Ho"}]}"#
        #expect(
            try rows(plain + "\n\n" + chat + "\n") == [
                .promptCompletion(prompt: "2+2=", completion: "4"),
                .chatCompletion(prompt: Conversation([user("Hi")]), completion: [assistant("Ho")]),
            ])
    }

    @Test func containersHoldTheSameRows() throws {
        let expected: [Row] = [.text("a, [b"), .text("c \"}\" \\")]
        let one = #"{"text": "a, [b"}"#
        let two = #"{"text": "c \"}\" \\"}"#
        #expect(try rows("\u{FEFF}" + one + "\r\n" + two) == expected)
        #expect(try rows("\u{FEFF} [\n\(one) ,\n  \(two)\n]\n", "data.json") == expected)
        #expect(try rows("[\(one),\(two)]", "data.json") == expected)
        #expect(try rows(one + "\n" + two, "data.json") == expected)
        #expect(try rows("[]", "data.json") == [])
    }

    @Test func compressedFilesReadAlike() throws {
        let folder = try TemporaryFolder()
        let lines = (0..<500).map { #"{"text": "row \#($0)"}"# }.joined(separator: "\n")
        let bytes = try Array(lines.utf8).withUnsafeBytes { try Compression.compress($0) }
        let read = try rows(of: DatasetSource(folder.write(bytes, to: "data.jsonl.zst")))
        #expect(read == (0..<500).map { Row.text("row \($0)") })
    }

    @Test(arguments: [
        (DocumentUnit.line, ["a", "b", " c", "d"]), (.blankLine, ["a\nb", " c\nd"]), (.file, ["a\nb\n\n \n c\nd\n"]),
    ])
    func plainTextIsCutAsAsked(unit: DocumentUnit, documents: [String]) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a\nb\n\n \n c\nd\n", to: "data.txt")
        #expect(try rows(of: DatasetSource(path, documents: unit)) == documents.map { Row.text($0) })
    }

    @Test func columnsAreRenamed() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(#"{"body": "x"}"#, to: "data.jsonl")
        #expect(try rows(of: DatasetSource(path, columns: ["text": "body"])) == [.text("x")])
    }

    @Test func theRegistryHoldsEveryFileOfTheFolder() throws {
        let files = Locations.files(under: "Sources/Datasets/Formats", ending: "Format.swift")
        let names = files.map { $0.split(separator: "/").last.map { String($0.dropLast(6)) } ?? "" }
        #expect(names.sorted() == RowFormats.all.map { "\($0)" }.sorted())
        #expect(Set(RowFormats.all.map { $0.name }).count == RowFormats.all.count)
    }
}
