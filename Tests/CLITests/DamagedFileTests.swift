import Foundation
import TestSupport
import Testing

/// Files cut short, made up or taken from elsewhere: each is named with the place of the fault, and none ends the program.
@Suite struct DamagedFileTests {
    private static let score = "evaluate --model model --data rows.jsonl".split(separator: " ").map(String.init)

    /// A file of the model, changed.
    private static func model(
        _ name: String, _ file: String, says: String..., change: @escaping @Sendable ([UInt8]) -> [UInt8]?
    ) -> BadInput {
        BadInput(
            name: "\(file): \(name)", prepare: { try $0.change("model/\(file)", change) }, arguments: score, says: says)
    }

    /// The safetensors file with its header's text replaced.
    private static func header(
        _ name: String, _ old: String, _ new: String, says: String...
    ) -> BadInput {
        BadInput(
            name: "header: \(name)",
            prepare: { run in
                try run.change("model/model.safetensors") { bytes in
                    let count = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
                    let text = String(decoding: bytes[8..<8 + count], as: UTF8.self)
                    precondition(text.contains(old), "the header does not say \(old)")
                    let changed = Array(text.replacing(old, with: new).utf8)
                    return littleEndian(UInt64(changed.count)) + changed + bytes[(8 + count)...]
                }
            }, arguments: score, says: says)
    }

    private static func template(_ name: String, _ source: String, says: String...) -> BadInput {
        BadInput(
            name: "template: \(name)", prepare: { try $0.folder.write(source, to: "model/chat_template.jinja") },
            arguments: score, says: says)
    }

    private static func gguf(
        _ name: String, says: String..., change: @escaping @Sendable ([UInt8]) -> [UInt8]
    ) -> BadInput {
        BadInput(
            name: "GGUF: \(name)",
            prepare: { run in
                let whole = try Data(contentsOf: URL(filePath: Locations.fixture("gguf/tiny-llama.gguf")))
                try run.folder.write(change(Array(whole)), to: "model.gguf")
            }, arguments: ["evaluate", "--model", "model.gguf", "--data", "rows.jsonl"], says: says)
    }

    private static func adapter(
        _ name: String, _ fixture: String, says: String...,
        prepare: @escaping @Sendable (TinyRun) throws -> Void = { _ in }
    ) -> BadInput {
        BadInput(
            name: "adapter: \(name)",
            prepare: { run in
                try FileManager.default.copyItem(
                    atPath: Locations.fixture("adapters/\(fixture)"), toPath: run.folder.file("adapter"))
                try prepare(run)
            }, arguments: score + ["--adapter", "adapter"], says: says)
    }

    static let safetensors: [BadInput] = [
        model("half of it", "model.safetensors", says: "model/model.safetensors: tensor '", "The file is cut short") {
            Array($0[..<($0.count / 2)])
        },
        model("empty", "model.safetensors", says: "model/model.safetensors: ends inside the header") { _ in [] },
        model("a header of 2^63 bytes", "model.safetensors", says: "its header would have 9223372036854775807 bytes") {
            littleEndian(UInt64(Int64.max)) + $0[8...]
        },
        model("a header of 2^64 bytes", "model.safetensors", says: "header would have 18446744073709551615 bytes") {
            littleEndian(UInt64.max) + $0[8...]
        },
        model("a header as long as the file", "model.safetensors", says: "ends inside the header") {
            littleEndian(UInt64($0.count)) + $0[8...]
        },
        model("a header that nests", "model.safetensors", says: "nest more than 256 deep") { _ in
            littleEndian(600_000) + Array(String(repeating: #"{"a":"#, count: 120_000).utf8)
        },
        model("missing", "model.safetensors", says: "error: model: has neither model.safetensors nor") { _ in nil },
        header(
            "offsets before the data", "[0,98304]", "[-1,98303]",
            says: "tensor 'model.embed_tokens.weight': its data_offsets are not two offsets"),
        header(
            "offsets past 2^62", "[0,98304]", "[9223372036854677503,9223372036854775807]", says: "or beyond any file"),
        header("offsets in reverse", "[0,98304]", "[98304,0]", says: "its data ends before it begins"),
        header(
            "a tensor on another", "[98304,98560]", "[98048,98304]",
            says: "tensor 'model.layers.0.input_layernorm.weight': its data overlaps the tensor before it"),
        header(
            "a shape of 2^64", "[384,64]", "[4294967296,4294967296]", says: "98304 bytes, which is not the size of F32"),
        header("an unknown type", "F32", "F99", says: "unknown dtype 'F99'"),
        header(
            "another name", "model.norm.weight", "model.nrom.weight",
            says: "model.norm.weight: the checkpoint has no tensor model.norm.weight"),
    ]

    static let json: [BadInput] = [
        model("missing", "config.json", says: "error: model: has no config.json") { _ in nil },
        model("deep nesting", "config.json", says: "model/config.json: byte 256:", "nest more than 256 deep") { _ in
            Array(String(repeating: "[", count: 100_000).utf8)
        },
        model("another family", "config.json", says: "`model_type`: models of the family \"lama\" are not supported") {
            replacing($0, "\"llama\"", "\"lama\"")
        },
        model("a billion layers", "config.json", says: "the checkpoint has no tensor model.layers.2.") {
            replacing($0, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000000")
        },
        model("a width it does not have", "config.json", says: "has shape [384, 64], the configuration asks for") {
            replacing($0, "\"hidden_size\": 64", "\"hidden_size\": 128")
        },
        model("half of it", "tokenizer.json", says: "model/tokenizer.json: byte", "not valid JSON") {
            Array($0[..<($0.count / 2)])
        },
        model("deep nesting", "tokenizer.json", says: "model/tokenizer.json", "nest more than 256 deep") { _ in
            Array(String(repeating: #"{"a":"#, count: 100_000).utf8)
        },
        model("an empty object", "tokenizer.json", says: "model/tokenizer.json", "this is no tokenizer.json") { _ in
            Array("{}".utf8)
        },
        model("missing", "tokenizer.json", says: "error: model: has no tokenizer.json") { _ in nil },
        model("a merge of unknown tokens", "tokenizer.json", says: "model.merges[", "not in the vocabulary") {
            replacing($0, "\"Ġcame\"", "\"Ġcarne\"")
        },
    ]

    static let templates: [BadInput] = [
        template("a loop without end", "{% for a in range(10**18) %}x{% endfor %}", says: "'range' is longer than"),
        template(
            "a macro that calls itself", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
            says: "nest more than", "levels deep"),
        template(
            "text that doubles",
            "{% set n = namespace(s='xxxxxxxxxx') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            says: "the template builds a text of more than"),
        template("a text of terabytes", "{{ 'x' * 10**12 }}", says: "the template builds a text of more than"),
        template(
            "a namespace in itself", "{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}",
            says: "'tojson' cannot write a Namespace"),
        template(
            "ten thousand brackets",
            "{{ " + String(repeating: "(", count: 10_000) + "1"
                + String(repeating: ")", count: 10_000) + " }}", says: "nested more than"),
        template(
            "an open block", "{% for m in messages %}", says: "error: model: chat template: line 1:", "not closed"),
        template("an unknown filter", "{{ messages | frobnicate }}", says: "model: ", "unknown filter 'frobnicate'"),
        template("its own refusal", "{{ raise_exception('no thanks') }}", says: "rows.jsonl: line 1:", "no thanks"),
        template("no messages", "hello", says: "the chat template has no loop over the messages"),
    ]

    static let ggufFiles: [BadInput] = [
        gguf("half of it", says: "error: model.gguf: tensor 'blk.0.", "The file is cut short or corrupt") {
            Array($0[..<($0.count / 2)])
        },
        gguf("its first 20 bytes", says: "model.gguf: the file ends inside the header") { Array($0[..<20]) },
        gguf("empty", says: "model.gguf: is no GGUF file") { _ in [] },
        gguf("version 99", says: "model.gguf: has GGUF version 99; versions 2 and 3 can be read") {
            $0[..<4] + [99, 0, 0, 0] + $0[8...]
        },
        gguf("2^62 tensors", says: "claims 4611686018427387904 tensors") {
            $0[..<8] + littleEndian(1 << 62) + $0[16...]
        },
        gguf("2^63 keys", says: "9223372036854775807 keys") { $0[..<16] + littleEndian(UInt64(Int64.max)) + $0[24...] },
    ]

    static let adapters: [BadInput] = [
        adapter(
            "of a wider model", "other-hidden-size",
            says: "error: adapter/adapter_model.safetensors: the adapter was made for another model",
            "[4, 32], not [4, 64]"
        ),
        adapter(
            "of a deeper model", "smollm2-start",
            says: "the adapter was made for another model", "base_model.model.model.layers.10."),
        adapter("cut short", "tiny-llama/qv", says: "adapter/adapter_model.safetensors: ", "cut short") { run in
            try run.change("adapter/adapter_model.safetensors") { Array($0[..<($0.count / 2)]) }
        },
        adapter("of another method", "tiny-llama/qv", says: "adapters of the type \"ADALORA\" are not supported") {
            run in
            try run.change("adapter/adapter_config.json") { replacing($0, "\"LORA\"", "\"ADALORA\"") }
        },
        adapter("without weights", "tiny-llama/qv", says: "error: adapter: has no adapter_model.safetensors") { run in
            try run.change("adapter/adapter_model.safetensors") { _ in nil }
        },
    ]

    @Test(arguments: safetensors + json + templates + ggufFiles + adapters)
    func isNamed(_ input: BadInput) async throws {
        let run = try TinyRun()
        try input.prepare(run)
        expect(try await run.graft(input.arguments), input)
    }
}

/// The eight bytes of a number, the lowest first.
private func littleEndian(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

/// A text file with a text in it replaced.
private func replacing(_ bytes: [UInt8], _ old: String, _ new: String) -> [UInt8] {
    let text = String(decoding: bytes, as: UTF8.self)
    precondition(text.contains(old), "the file does not say \(old)")
    return Array(text.replacing(old, with: new).utf8)
}
