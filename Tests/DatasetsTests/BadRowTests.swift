import Datasets
import Files
import TestSupport
import Testing

/// A file that must be refused, and what the error must say.
struct BadFile: Sendable, CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    var says: [String]

    init(_ name: String, _ text: String, _ says: String...) {
        self.name = name
        bytes = Array(text.utf8)
        self.says = says
    }

    init(_ name: String, bytes: [UInt8], _ says: String...) {
        self.name = name
        self.bytes = bytes
        self.says = says
    }

    var testDescription: String { "\(name): \(String(decoding: bytes.prefix(60), as: UTF8.self).debugDescription)" }
}

private let good = #"{"text": "fine"}"# + "\n"

private let badFiles: [BadFile] = [
    BadFile("a.jsonl", good + "{\"text\": \"x\n", "line 2", "not valid JSON"),
    BadFile("a.jsonl", good + "[1]\n", "line 2", "an array", "expected an object"),
    BadFile("a.jsonl", good + "7\n", "line 2", "a number"),
    BadFile("a.jsonl", good + "{} {}\n", "line 2", "not valid JSON"),
    BadFile(
        "a.jsonl", bytes: Array(good.utf8) + Array("{\"text\": \"".utf8) + [0xFF, 0xFE] + Array("\"}".utf8), "line 2",
        "UTF-8"),
    BadFile("a.txt", bytes: Array("fine\n".utf8) + [0xC3, 0x28], "line 2", "UTF-8"),
    BadFile("a.jsonl", #"{"mesages": []}"#, "line 1", "Did you mean \"messages\"", "mesages"),
    BadFile("a.jsonl", #"{"chosen": "a", "rejected": "b"}"#, "line 1", "preference"),
    BadFile("a.jsonl", #"{"messages": []}"#, "line 1: messages", "empty"),
    BadFile("a.jsonl", #"{"messages": {}}"#, "line 1: messages", "an object, expected a list"),
    BadFile("a.jsonl", #"{"messages": [{"role": "user"}]}"#, "messages[0]", "content"),
    BadFile("a.jsonl", #"{"messages": [{"role": "user", "contnt": "x"}]}"#, "messages[0]", "contnt"),
    BadFile(
        "a.jsonl", #"{"messages": [{"role": "asistant", "content": "x"}]}"#, "messages[0].role",
        "Did you mean \"assistant\""),
    BadFile(
        "a.jsonl", #"{"messages": [{"role": "gpt", "content": "x"}]}"#, "messages[0].role", "Did you mean \"assistant\""
    ),
    BadFile("a.jsonl", #"{"messages": [{"role": "user", "content": 3}]}"#, "messages[0].content", "a number"),
    BadFile(
        "a.jsonl", #"{"messages": [{"role": "assistant", "content": "x", "train": "no"}]}"#, "messages[0].train",
        "true or false"),
    BadFile(
        "a.jsonl", #"{"messages": [{"role": "assistant", "content": "x", "weight": 0.5}]}"#, "messages[0].weight",
        "0 or 1"),
    BadFile("a.jsonl", #"{"messages": ["hello"]}"#, "messages[0]", "a string, expected an object"),
    BadFile("a.jsonl", #"{"messages": [{"role": "user", "content": "x"}], "tools": "nonsense"}"#, "tools", "JSON list"),
    BadFile("a.jsonl", #"{"messages": [{"role": "user", "content": "x"}], "tools": {}}"#, "tools", "expected a list"),
    BadFile(
        "a.jsonl", #"{"conversations": [{"from": "humn", "value": "x"}]}"#, "conversations[0].from",
        "Did you mean \"human\""),
    BadFile(
        "a.jsonl", #"{"conversations": [{"from": "function_call", "value": "find(1)"}]}"#, "conversations[0].value",
        "must be JSON"),
    BadFile("a.jsonl", #"{"conversations": [{"from": "function_call", "value": "{}"}]}"#, "without \"name\""),
    BadFile("a.jsonl", #"{"instruction": 1, "output": "x"}"#, "instruction", "a number, expected a string"),
    BadFile("a.jsonl", #"{"instruction": "a", "output": "x", "history": [["q"]]}"#, "history[0]", "two strings"),
    BadFile("a.jsonl", #"{"prompt": "a", "completion": [1]}"#, "two strings or two lists of messages"),
    BadFile("a.jsonl", #"{"text": null}"#, "text", "null, expected a string"),
    BadFile("a.jsonl", String(repeating: "[", count: 5000), "line 1", "nest"),
    BadFile(
        "a.json", "[" + String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000) + "]", "row 1", "nest"
    ),
    BadFile("a.json", "[{\"text\": \"x\"}, \n{\"text\": 3}]", "row 2 (line 2): text"),
    BadFile("a.json", "[{\"text\": \"x\"}", "ends too early"),
    BadFile("a.json", "[{\"text\": \"x\"},]", "row is missing"),
    BadFile("a.json", "[{\"text\": \"x\"} {\"text\": \"x\"}]", "row 1"),
    BadFile("a.json", "[}]", "line 1", "never opened"),
    BadFile("a.json", "[] x", "after the end"),
    BadFile("a.jsonl.zst", "plainly not", "zstd"),
    BadFile("a.csv", "a,b", "CSV", "load_dataset('csv'", "to_json"),
    BadFile("a.parquet", "PAR1", "Parquet", "load_dataset('parquet'"),
    BadFile("a.data", "PAR1....", "Parquet"),
    BadFile("a.pkl", "x", "pickle", "read_pickle"),
    BadFile("a.jsonl.gz", "x", "gzip", "unpack"),
]

@Suite struct BadRowTests {
    @Test(arguments: badFiles)
    func isRefused(file: BadFile) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(file.bytes, to: file.name)
        let error = #expect(throws: InputError.self) { try rows(of: DatasetSource(path)) }
        #expect(error?.file == path)
        let said = error?.description ?? ""
        for part in file.says { #expect(said.contains(part), "\(said)") }
    }

    @Test func missingFileFolderAndUnknownNames() throws {
        let folder = try TemporaryFolder()
        #expect(throws: InputError.self) { try rows(of: DatasetSource(folder.file("none.jsonl"))) }
        #expect(throws: InputError.self) { try rows(of: DatasetSource(folder.path)) }
        let path = try folder.write(good, to: "a.jsonl")
        let unknown = #expect(throws: InputError.self) { try rows(of: DatasetSource(path, format: "alpacca")) }
        #expect(unknown?.hint?.contains("Did you mean \"alpaca\"") == true)
        let column = #expect(throws: InputError.self) { try rows(of: DatasetSource(path, columns: ["txt": "text"])) }
        #expect(column?.hint?.contains("Did you mean \"text\"") == true)
        let absent = #expect(throws: InputError.self) { try rows(of: DatasetSource(path, columns: ["text": "texts"])) }
        #expect(absent?.message == "the column \"texts\" is missing" && absent?.place == "line 1")
    }
}
