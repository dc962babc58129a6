import Files
import Foundation
import Models
import TestSupport
import Testing

@Suite struct ModelLocationTests {
    /// A home folder with a model in the cache, in two versions, and one beside it.
    private func home() throws -> TemporaryFolder {
        let home = try TemporaryFolder()
        let model = ".cache/huggingface/hub/models--org--tiny-model"
        for folder in ["\(model)/snapshots/aaaa", "\(model)/snapshots/bbbb", "models/mine"] {
            try home.write("{}", to: folder + "/config.json")
            try home.write("", to: folder + "/model.safetensors")
        }
        try home.write("bbbb\n", to: "\(model)/refs/main")
        return home
    }

    @Test func theCacheIsFoundAsHuggingFaceFindsIt() throws {
        let home = try home()
        let hub = home.file(".cache/huggingface/hub")
        let expected = ModelLocation.folder(hub + "/models--org--tiny-model/snapshots/bbbb")
        let environments = [
            ["HOME": home.path], ["HF_HOME": home.file(".cache/huggingface"), "HOME": "/nowhere"],
            ["HF_HUB_CACHE": hub, "HF_HOME": "/nowhere"], ["XDG_CACHE_HOME": home.file(".cache")],
        ]
        for environment in environments {
            #expect(try ModelLocation("org/tiny-model") { environment[$0] } == expected)
        }
        let mine = try ModelLocation("~/models/mine/") { $0 == "HOME" ? home.path : nil }
        #expect(mine == .folder(home.file("models/mine")))
    }

    @Test func whatIsMissingIsNamed() throws {
        let home = try home()
        func fault(_ name: String) -> String {
            do {
                return "\(try ModelLocation(name) { $0 == "HOME" ? home.path : nil })"
            } catch { return "\(error)" }
        }
        #expect(fault("org/tiny-modle").contains("Did you mean 'org/tiny-model'?"))
        #expect(fault("somebody/something").contains("hf download somebody/something"))
        #expect(fault(home.file("models/mne")).hasSuffix("Did you mean '\(home.file("models/mine"))'?"))
        #expect(fault("/no/such/folder") == "/no/such/folder: no such file or folder")
        #expect(fault("").contains("no such file or folder"))
        let main = ".cache/huggingface/hub/models--org--tiny-model/refs/main"
        try FileManager.default.removeItem(atPath: home.file(main))
        #expect(fault("org/tiny-model").contains("does not say which of its 2 versions is 'main'"))
    }
}
